//! bash, without the bash-completion package.

use super::super::spec::{Command, Kind, Program};
use super::{flags, words};

pub(super) fn script(program: &Program) -> String {
    let name = program.name;
    let commands: Vec<&str> = program.public().map(|command| command.name).collect();
    let mut cases = String::new();
    for command in program.public() {
        cases.push_str(&case(program, command));
    }
    format!(
        "# bash completion of {name}; load it with: source <({name} completions bash)
_{name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command= place=0 word
    COMPREPLY=()
    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
        case $word in
            -*) ;;
            *) if [ -z \"$command\" ]; then command=$word; else place=$((place + 1)); fi ;;
        esac
    done
    if [ -z \"$command\" ]; then
        COMPREPLY=($(compgen -W '{} --json --color --help --version' -- \"$current\"))
        return
    fi
    case $command in
{cases}    esac
}}
complete -o default -F _{name} {name}
",
        commands.join(" ")
    )
}

fn case(program: &Program, command: &Command) -> String {
    let mut values = String::new();
    for flag in flags(command) {
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
        let short = flag
            .short
            .map(|letter| format!("|-{letter}"))
            .unwrap_or_default();
        values.push_str(&format!(
            "                --{}{short}) {reply} ;;\n",
            flag.long
        ));
    }
    let names: Vec<String> = flags(command)
        .map(|flag| format!("--{}", flag.long))
        .collect();
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
