//! Names in the cases that Rust, Varlink and serde want.

/// `set_server_name` → `SetServerName`.
pub(crate) fn pascal(snake: &str) -> String {
    snake
        .split('_')
        .filter(|word| !word.is_empty())
        .map(capitalised)
        .collect()
}

/// `SetServerName` → `set_server_name`, with any separator.
fn split(pascal: &str, separator: char) -> String {
    let mut text = String::new();
    for (at, letter) in pascal.char_indices() {
        if letter.is_uppercase() && at > 0 {
            text.push(separator);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn lower_first(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// What serde's `rename_all = "rule"` makes of a variant's name.
pub(crate) fn rename_variant(rule: &str, pascal: &str) -> Option<String> {
    Some(match rule {
        "lowercase" => pascal.to_lowercase(),
        "UPPERCASE" => pascal.to_uppercase(),
        "PascalCase" => pascal.to_owned(),
        "camelCase" => lower_first(pascal),
        "snake_case" => split(pascal, '_'),
        "SCREAMING_SNAKE_CASE" => split(pascal, '_').to_uppercase(),
        "kebab-case" => split(pascal, '-'),
        "SCREAMING-KEBAB-CASE" => split(pascal, '-').to_uppercase(),
        _ => return None,
    })
}

/// What serde's `rename_all = "rule"` makes of a field's name.
pub(crate) fn rename_field(rule: &str, snake: &str) -> Option<String> {
    Some(match rule {
        "lowercase" | "snake_case" => snake.to_owned(),
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => snake.to_uppercase(),
        "PascalCase" => pascal(snake),
        "camelCase" => lower_first(&pascal(snake)),
        "kebab-case" => snake.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => snake.to_uppercase().replace('_', "-"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_in_pascal_case() {
        assert_eq!(pascal("set_server_name"), "SetServerName");
        assert_eq!(pascal("_hidden__twice"), "HiddenTwice");
    }

    #[test]
    fn variants_follow_the_rules_of_serde() {
        assert_eq!(
            rename_variant("snake_case", "AlreadyUp").as_deref(),
            Some("already_up")
        );
        assert_eq!(
            rename_variant("kebab-case", "AlreadyUp").as_deref(),
            Some("already-up")
        );
        assert_eq!(
            rename_variant("camelCase", "AlreadyUp").as_deref(),
            Some("alreadyUp")
        );
        assert_eq!(rename_variant("Title Case", "AlreadyUp"), None);
    }

    #[test]
    fn fields_follow_the_rules_of_serde() {
        assert_eq!(
            rename_field("camelCase", "exit_address").as_deref(),
            Some("exitAddress")
        );
        assert_eq!(
            rename_field("kebab-case", "exit_address").as_deref(),
            Some("exit-address")
        );
    }
}
