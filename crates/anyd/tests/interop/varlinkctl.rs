//! systemd's `varlinkctl`, where there is one (since version 255).

use std::process::Command;

use crate::foreign::{Served, printed};

#[test]
fn varlinkctl_introspects_and_calls() {
    if Command::new("varlinkctl")
        .arg("--version")
        .output()
        .is_err()
    {
        // No demand of any environment: many have an older systemd.
        println!("SKIP varlinkctl is not here: it comes with systemd 255");
        return;
    }
    let served = Served::new("varlinkctl");
    let address = format!("unix:{}", served.path.display());
    let run = |arguments: &[&str]| {
        let output = Command::new("varlinkctl").args(arguments).output();
        printed(&output.unwrap())
    };
    let text = run(&["info", &address]);
    assert!(text.contains("org.varlink.certification"), "{text}");
    let text = run(&["introspect", &address, "org.varlink.certification"]);
    assert!(text.contains("method Test10"), "{text}");
    let text = run(&["call", &address, "org.varlink.certification.Start", "{}"]);
    assert!(text.contains("client_id"), "{text}");
}
