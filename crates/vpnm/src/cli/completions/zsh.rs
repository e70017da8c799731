//! zsh.

use super::super::spec::{Command, Flag, GLOBAL, Kind, Program};
use super::{flags, quote, words};

pub(super) fn script(program: &Program) -> String {
    let name = program.name;
    let list: String = program
        .public()
        .map(|command| {
            let entry = format!("{}:{}", command.name, command.summary.replace(':', "\\:"));
            format!("        {}\n", quote(&entry))
        })
        .collect();
    let cases: String = program
        .public()
        .map(|command| case(program, command))
        .collect();
    let globals = GLOBAL
        .into_iter()
        .map(|flag| format!("        {} \\\n", argument(program, flag)))
        .collect::<String>();
    format!(
        "#compdef {name}
# zsh completion of {name}; put it into a directory of $fpath as _{name}
_{name}() {{
    local curcontext=\"$curcontext\" state line
    local -a commands
    commands=(
{list}    )
    _arguments -C \\
{globals}        '1:command:->command' \\
        '*::argument:->argument'
    case $state in
        command) _describe -t commands 'command' commands ;;
        argument)
            case $words[1] in
{cases}            esac ;;
    esac
}}
if [ \"$funcstack[1]\" = \"_{name}\" ]; then
    _{name} \"$@\"
else
    compdef _{name} {name}
fi
"
    )
}

fn case(program: &Program, command: &Command) -> String {
    let mut arguments: Vec<String> = flags(command).map(|flag| argument(program, flag)).collect();
    for (place, operand) in command.operands.iter().enumerate() {
        let optional = if operand.optional { ":" } else { "" };
        let entry = format!(
            "{}:{optional}{}:{}",
            place + 1,
            operand.name,
            action(program, operand.kind)
        );
        arguments.push(quote(&entry));
    }
    format!(
        "                {}) _arguments {} ;;\n",
        command.name,
        arguments.join(" ")
    )
}

/// A flag as `_arguments` takes it; both spellings exclude each other.
fn argument(program: &Program, flag: &Flag) -> String {
    let about = flag
        .summary
        .replace('[', "\\[")
        .replace(']', "\\]")
        .replace(':', "\\:");
    let value = flag
        .value
        .map(|value| format!(":{}:{}", value.name, action(program, value.kind)))
        .unwrap_or_default();
    let long = flag.long;
    match flag.short {
        None => quote(&format!("--{long}[{about}]{value}")),
        Some(letter) => format!(
            "{}{{-{letter},--{long}}}{}",
            quote(&format!("(-{letter} --{long})")),
            quote(&format!("[{about}]{value}"))
        ),
    }
}

fn action(program: &Program, kind: Kind) -> String {
    match kind {
        Kind::Text => " ".to_owned(),
        Kind::File => "_files".to_owned(),
        Kind::Command | Kind::OneOf(_) => format!("({})", words(program, kind).join(" ")),
    }
}
