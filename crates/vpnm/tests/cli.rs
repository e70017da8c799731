//! The binary as a shell sees it: streams, exit codes, JSON.

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Output, Stdio};

    fn vpnm(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vpnm"));
        command.args(arguments).env_remove("NO_COLOR");
        command
    }

    fn run(arguments: &[&str]) -> Output {
        vpnm(arguments).output().unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn json(output: &Output) -> serde_json::Value {
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["schema_version"], 1, "{object}");
        object
    }

    #[test]
    fn an_unknown_command_names_the_nearest_one() {
        let output = run(&["completion", "bash"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert_eq!(
            text(&output.stderr),
            "error: there is no command \"completion\"\n\
         why:   nothing is called that; did you mean \"completions\"?\n\
         next:  vpnm completions\n"
        );
    }

    #[test]
    fn a_failure_is_an_object_for_machines() {
        let output = run(&["--json", "nonsense"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stderr.is_empty());
        assert_eq!(json(&output)["error"]["code"], "usage");
    }

    #[test]
    fn a_number_that_makes_no_sense_is_refused_before_a_device_is_made() {
        for (flag, number) in [
            ("--queues", "0"),
            ("--queues", "17"),
            ("--queues", "two"),
            ("--mtu", "1279"),
            ("--udp-timeout", "0"),
        ] {
            let proxy = "socks5://192.0.2.1:1080";
            let output = run(&["--json", "tun2socks", "-p", proxy, flag, number]);
            assert_eq!(output.status.code(), Some(2), "{flag} {number}");
            let said = json(&output);
            let what = said["error"]["what"].as_str().unwrap();
            assert!(what.contains(flag), "{what}");
        }
    }

    #[test]
    fn a_link_is_never_repeated() {
        for arguments in [
            &["vless://secret@host:443"][..],
            &["completions", "vless://secret@host:443"],
            &["man", "vless://secret@host:443"],
            &["--json", "vless://secret@host:443"],
        ] {
            let output = run(arguments);
            assert_eq!(output.status.code(), Some(2));
            for stream in [&output.stdout, &output.stderr] {
                assert!(!text(stream).contains("secret"), "{arguments:?}");
            }
        }
    }

    #[test]
    fn an_unknown_key_of_a_link_is_no_guess() {
        let link = "vless://0a1b2c3d-0000-4000-8000-000000000001@192.0.2.1:443?securty=tls";
        let output = run(&["--json", "connect", link]);
        assert_eq!(output.status.code(), Some(2));
        let object = json(&output);
        assert_eq!(object["error"]["code"], "unknown_key");
        assert!(object["error"]["why"].as_str().unwrap().contains("securty"));
        assert!(!object.to_string().contains("0a1b2c3d"));
    }

    #[test]
    fn help_has_no_colour_in_a_pipe_and_some_if_asked_for() {
        assert!(!text(&run(&["--help"]).stdout).contains('\x1b'));
        assert!(text(&run(&["--color", "always", "--help"]).stdout).contains('\x1b'));
        assert!(!text(&run(&["--color=never", "-h"]).stdout).contains('\x1b'));
    }

    #[test]
    fn every_command_explains_itself() {
        let object = json(&run(&["--help", "--json"]));
        let commands = object["commands"].as_array().unwrap();
        assert!(commands.len() > 2);
        for command in commands {
            let name = command["name"].as_str().unwrap();
            let output = run(&[name, "--help"]);
            assert!(output.status.success(), "{name}");
            assert!(
                text(&output.stdout).contains(&format!("vpnm {name}")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_version_is_the_crate_s() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text(&run(&["--version"]).stdout),
            format!("vpnm {version}\n")
        );
        assert_eq!(json(&run(&["-V", "--json"]))["version"], version);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let mut child = vpnm(&["man"]).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        if let Some(mut stream) = child.stderr.take() {
            stream.read_to_string(&mut errors).unwrap();
        }
        assert!(child.wait().unwrap().success(), "{errors}");
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_no_success() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = vpnm(&["man"]).stdout(full.unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with("error: the output could not be written\nwhy:   No space left"));
    }

    /// The script of a shell passes that shell's own syntax check.
    fn check_completions(shell: &str) {
        let checker = Command::new(shell)
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut checker) = checker else {
            println!("SKIP {shell} is not installed");
            return;
        };
        let script = run(&["completions", shell]).stdout;
        assert!(!script.is_empty());
        checker.stdin.take().unwrap().write_all(&script).unwrap();
        let output = checker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    #[test]
    fn completions_are_scripts_of_their_shell() {
        for shell in ["bash", "zsh", "fish"] {
            check_completions(shell);
        }
    }

    #[test]
    fn bash_completes_commands_and_values() {
        let script = text(&run(&["completions", "bash"]).stdout).to_owned();
        let complete = |words: &str, current: usize| {
            let program = format!(
                "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={current}\n_vpnm\necho \"${{COMPREPLY[*]}}\""
            );
            let output = Command::new("bash").args(["-c", &program]).output();
            let Ok(output) = output else {
                println!("SKIP bash is not installed");
                return None;
            };
            Some(text(&output.stdout).trim().to_owned())
        };
        for (words, current, expected) in [
            ("vpnm compl", 1, "completions"),
            ("vpnm completions f", 2, "fish"),
            ("vpnm man --mark", 2, "--markdown"),
            ("vpnm --color n", 2, "never"),
            ("vpnm --color always comp", 3, "completions"),
            ("vpnm -", 1, "--json --color --help --version"),
            ("vpnm man --color n", 3, "never"),
        ] {
            if let Some(found) = complete(words, current) {
                assert_eq!(found, expected, "{words}");
            }
        }
    }
}
