//! systemd's `varlinkctl`: the machine's own (since systemd 255), or the one
//! that `cargo xtask prepare` has unpacked.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::counter::{CounterService, Here};
use crate::foreign::{Served, printed, skip};

/// Where `cargo xtask prepare` puts programs of a newer Debian.
const NEWER: &str = "/var/cache/vpnm-lab/newer";

/// The program; `None`, said loudly, where it cannot be had.
fn varlinkctl() -> Option<PathBuf> {
    let tree = Path::new(NEWER).join("run/varlinkctl");
    let own = PathBuf::from("varlinkctl");
    let found = [own, tree].into_iter().find(|program| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        match std::fs::read_to_string(format!("{NEWER}.unavailable")) {
            Ok(reason) => println!("SKIP no varlinkctl: {reason}"),
            Err(_) => skip("there is no varlinkctl: cargo xtask prepare"),
        }
    }
    found
}

/// A daemon, and the program to call it with.
struct Bench {
    served: Served,
    program: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Option<Self> {
        let program = varlinkctl()?;
        let served = Served::with(name, |daemon| daemon.serve(CounterService(Here)));
        Some(Self { served, program })
    }

    fn run(&self, options: &[&str], verb: &str, rest: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["--no-pager", "--timeout=60"]).args(options);
        command.arg(verb).arg(&self.served.path).args(rest);
        command.output().unwrap()
    }

    fn text(&self, options: &[&str], verb: &str, rest: &[&str]) -> String {
        printed(&self.run(options, verb, rest))
    }
}

#[test]
fn varlinkctl_reads_our_descriptions() {
    let Some(bench) = Bench::new("varlinkctl-reads") else {
        return;
    };
    let info = bench.text(&[], "info", &[]);
    assert!(info.contains(env!("CARGO_PKG_VERSION")), "{info}");
    let interfaces = bench.text(&[], "list-interfaces", &[]);
    let expected = "org.example.Counter\norg.varlink.service\n";
    assert_eq!(interfaces, expected);
    let text = bench.text(&[], "introspect", &["org.example.Counter"]);
    for line in [
        "# Adds two numbers.",
        "method Add(a: int, b: int) -> (sum: int)",
        "error Overflow (a: int, b: int)",
        "error Nothing ()",
    ] {
        let plain = |text: &str| text.replace([' ', '\n', '\t'], "");
        assert!(plain(&text).contains(&plain(line)), "{line}: {text}");
    }
    for name in ["org.example.Counter", "org.varlink.service"] {
        let text = bench.text(&[], "introspect", &[name]);
        let place = bench.served.path.with_extension(name);
        std::fs::write(&place, text).unwrap();
        let mut validate = Command::new(&bench.program);
        printed(&validate.arg("validate-idl").arg(&place).output().unwrap());
    }
}

#[test]
fn varlinkctl_calls_and_is_answered() {
    let Some(bench) = Bench::new("varlinkctl-calls") else {
        return;
    };
    let call = |method: &str, parameters: &str| {
        let method = format!("org.example.Counter.{method}");
        bench.run(&["--json=short"], "call", &[&method, parameters])
    };
    let sum = printed(&call("Add", r#"{"a":2,"b":3}"#));
    assert_eq!(sum.trim(), r#"{"sum":5}"#);
    let item = r#"{"item":{"name":"x","tags":["a","b"],"weight":null}}"#;
    let described: serde_json::Value =
        serde_json::from_str(&printed(&call("Describe", item))).unwrap();
    let expected: serde_json::Value = serde_json::from_str(item).unwrap();
    assert_eq!(described, expected);
    let failures = [
        ("Fail", "{}", "org.example.Counter.Nothing"),
        ("Add", r#"{"a":9223372036854775807,"b":1}"#, "Overflow"),
        ("Guarded", "{}", "PermissionDenied"),
        ("Fly", "{}", "MethodNotFound"),
        ("Add", r#"{"a":"x","b":1}"#, "InvalidParameter"),
        ("Count", r#"{"to":3}"#, "ExpectedMore"),
    ];
    for (method, parameters, expected) in failures {
        let output = call(method, parameters);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{method} {parameters}");
        assert!(said.contains(expected), "{method} {parameters}: {said}");
    }
}

#[test]
fn varlinkctl_follows_a_stream_to_its_end() {
    let Some(bench) = Bench::new("varlinkctl-stream") else {
        return;
    };
    let count = ["org.example.Counter.Count", r#"{"to":300}"#];
    let text = bench.text(&["--json=short", "--more"], "call", &count);
    let ticks: Vec<String> = (1..=300).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let shown: Vec<&str> = text
        .split('\n')
        .map(|line| line.trim_matches('\u{1e}'))
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(shown, ticks);
    let text = bench.text(&["--json=short", "--collect"], "call", &count);
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), 300);
}
