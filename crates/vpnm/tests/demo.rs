//! The demo, run as a newcomer runs it: the real binary, in its own world.

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    const BINARY: &str = env!("CARGO_BIN_EXE_vpnm");

    /// Whether the demo can run here; if not, says so, or fails where it must.
    fn can_run() -> bool {
        let missing = if !rustix::process::geteuid().is_root() {
            "it needs root: sudo --preserve-env=PATH,HOME cargo xtask test"
        } else if !Path::new("/dev/net/tun").exists() {
            "it needs /dev/net/tun: modprobe tun"
        } else {
            return true;
        };
        let is_required = std::env::var_os("VPNM_LAB").is_some_and(|value| value == "require");
        assert!(!is_required, "the demo cannot run: {missing}");
        println!("SKIP the demo: {missing}");
        false
    }

    /// How many processes run the binary; the daemon and the engine do, too.
    fn processes() -> usize {
        let binary = Path::new(BINARY).canonicalize().unwrap();
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .filter_map(|entry| std::fs::read_link(entry.path().join("exe")).ok())
            .filter(|exe| *exe == binary)
            .count()
    }

    /// The kernel takes a moment to end the processes of one that was killed.
    fn wait_until_nothing_is_left() {
        let started = Instant::now();
        while processes() > 0 {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{} processes are left behind",
                processes()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn whole_demo() {
        let output = Command::new(BINARY)
            .args(["demo", "--json"])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{report}");
        for (field, expected) in [
            ("/schema_version", serde_json::json!(1)),
            ("/connected", true.into()),
            ("/direct_address", "192.168.77.2".into()),
            ("/exit_address", "203.0.113.10".into()),
            ("/dns_over_tunnel", true.into()),
            ("/plaintext_dns_packets", 0.into()),
            ("/leaked_packets", 0.into()),
            ("/unaccounted_packets", 0.into()),
            ("/host_restored", true.into()),
            ("/engine/capabilities", 0.into()),
            ("/engine/no_new_privileges", true.into()),
            ("/engine/seccomp", true.into()),
        ] {
            assert_eq!(
                report.pointer(field),
                Some(&expected),
                "{field} in {report}"
            );
        }
        for (field, least) in [
            ("/probes", 1_000),
            ("/captured_packets", 100),
            ("/direct_plaintext_dns_packets", 1),
            ("/throughput_up_bps", 1_000_000),
            ("/throughput_down_bps", 1_000_000),
            ("/direct_up_bps", 1_000_000),
            ("/direct_down_bps", 1_000_000),
            ("/recovery_ms", 1),
        ] {
            let measured = report.pointer(field).and_then(serde_json::Value::as_u64);
            assert!(
                measured.is_some_and(|value| value >= least),
                "{field} in {report}"
            );
        }
    }

    fn interrupted_demo() {
        let mut demo = Command::new(BINARY)
            .arg("demo")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        // The demo itself and its daemon.
        while processes() < 2 {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "no daemon was started"
            );
            thread::sleep(Duration::from_millis(5));
        }
        let pid = rustix::process::Pid::from_child(&demo);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(130));
    }

    #[test]
    fn it_holds_and_leaves_nothing_behind() {
        if !can_run() {
            return;
        }
        whole_demo();
        wait_until_nothing_is_left();
        interrupted_demo();
        wait_until_nothing_is_left();
    }
}
