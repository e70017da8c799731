//! bash, without the bash-completion package.

use super::super::spec::{Command, Flag, GLOBAL, Kind, Program};
use super::{flags, words};

pub(super) fn script(program: &Program) -> String {
    let name = program.name;
    let commands: Vec<&str> = program.public().map(|command| command.name).collect();
    let mut cases = String::new();
    for command in program.public() {
        cases.push_str(&case(program, command));
    }
    let (valued, values) = (valued(program), values(program, GLOBAL.iter().copied()));
    format!(
        "# bash completion of {name}; load it with: source <({name} completions bash)
_{name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command= is_value= place=0 word
    COMPREPLY=()
    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
        if [ -n \"$is_value\" ]; then is_value=; continue; fi
        case $word in
            {valued}) is_value=1 ;;
            -*) ;;
            *) if [ -z \"$command\" ]; then command=$word; else place=$((place + 1)); fi ;;
        esac
    done
    if [ -z \"$command\" ]; then
        case $previous in
{values}        esac
        COMPREPLY=($(compgen -W '{public} {global}' -- \"$current\"))
        return
    fi
    case $command in
{cases}    esac
}}
complete -o default -F _{name} {name}
",
        public = commands.join(" "),
        global = names(GLOBAL.iter().copied()).join(" "),
    )
}

/// The long names of flags.
fn names(flags: impl Iterator<Item = &'static Flag>) -> Vec<String> {
    flags.map(|flag| format!("--{}", flag.long)).collect()
}

/// A flag as a pattern of a `case`.
fn pattern(flag: &Flag) -> String {
    let short = flag.short.map(|letter| format!("|-{letter}"));
    format!("--{}{}", flag.long, short.unwrap_or_default())
}

/// The flags of the whole program that are followed by a value, as a pattern.
fn valued(program: &Program) -> String {
    let all = program.public().flat_map(flags);
    let all = all.filter(|flag| flag.value.is_some()).map(pattern);
    let all: std::collections::BTreeSet<String> = all.collect();
    all.into_iter().collect::<Vec<_>>().join("|")
}

/// What completes the values of flags, each in a line.
fn values(program: &Program, flags: impl Iterator<Item = &'static Flag>) -> String {
    let mut text = String::new();
    for flag in flags {
        let Some(value) = flag.value else { continue };
        let offered = words(program, value.kind);
        let reply = if offered.is_empty() {
            "return".to_owned()
        } else {
            format!(
                "COMPREPLY=($(compgen -W '{}' -- \"$current\")); return",
                offered.join(" ")
            )
        };
        text.push_str(&format!("            {}) {reply} ;;\n", pattern(flag)));
    }
    text
}

fn case(program: &Program, command: &Command) -> String {
    let values = values(program, flags(command));
    let names = names(flags(command));
    let mut operands = String::new();
    for (place, operand) in command.operands.iter().enumerate() {
        let reply = match operand.kind {
            Kind::File => "COMPREPLY=($(compgen -f -- \"$current\"))".to_owned(),
            Kind::Text | Kind::Command | Kind::OneOf(_) => format!(
                "COMPREPLY=($(compgen -W '{}' -- \"$current\"))",
                words(program, operand.kind).join(" ")
            ),
        };
        operands.push_str(&format!("                {place}) {reply} ;;\n"));
    }
    let operands = if operands.is_empty() {
        operands
    } else {
        format!("            case $place in\n{operands}            esac\n")
    };
    format!(
        "        {}) case $previous in
{values}            esac
            if [[ $current == -* ]]; then
                COMPREPLY=($(compgen -W '{}' -- \"$current\"))
                return
            fi
{operands}            ;;
",
        command.name,
        names.join(" ")
    )
}
