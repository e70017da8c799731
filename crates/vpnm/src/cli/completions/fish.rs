//! fish.

use super::super::spec::{Flag, GLOBAL, Kind, Program};
use super::{quote, words};

pub(super) fn script(program: &Program) -> String {
    let name = program.name;
    let mut text = format!(
        "# fish completion of {name}; load it with: {name} completions fish | source\n\
         complete -c {name} -f\n"
    );
    for flag in GLOBAL {
        text.push_str(&option(program, "", flag));
    }
    for command in program.public() {
        text.push_str(&format!(
            "complete -c {name} -n __fish_use_subcommand -a {} -d {}\n",
            command.name,
            quote(command.summary)
        ));
        let seen = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        for flag in command.flags {
            text.push_str(&option(program, &seen, flag));
        }
        for operand in command.operands {
            text.push_str(&match operand.kind {
                Kind::Text => String::new(),
                Kind::File => format!("complete -c {name}{seen} -F\n"),
                Kind::Command | Kind::OneOf(_) => format!(
                    "complete -c {name}{seen} -a {}\n",
                    quote(&words(program, operand.kind).join(" "))
                ),
            });
        }
    }
    text
}

fn option(program: &Program, seen: &str, flag: &Flag) -> String {
    let short = flag
        .short
        .map(|letter| format!(" -s {letter}"))
        .unwrap_or_default();
    let value = match flag.value.map(|value| value.kind) {
        None => String::new(),
        Some(Kind::File) => " -r -F".to_owned(),
        Some(Kind::Text) => " -x".to_owned(),
        Some(kind @ (Kind::Command | Kind::OneOf(_))) => {
            format!(" -x -a {}", quote(&words(program, kind).join(" ")))
        }
    };
    format!(
        "complete -c {}{seen}{short} -l {}{value} -d {}\n",
        program.name,
        flag.long,
        quote(flag.summary)
    )
}
