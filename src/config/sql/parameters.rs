//! `$name`: values of the configuration in the text of views.

use std::collections::BTreeMap;

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::fault::Fault;

/// The values of `$name`, by name.
pub type Parameters = BTreeMap<String, toml::Value>;

/// Tokens with the values of parameters in their places.
pub(super) fn with_parameters(
    tokens: Vec<TokenWithSpan>,
    parameters: &Parameters,
) -> Result<Vec<TokenWithSpan>, Fault> {
    let mut replaced = Vec::with_capacity(tokens.len());
    for TokenWithSpan { token, span } in tokens {
        let Token::Placeholder(written) = &token else {
            replaced.push(TokenWithSpan { token, span });
            continue;
        };
        let name = written.trim_start_matches('$');
        let wrong = |reason: String| Err(Fault::at(span.start, reason));
        let values = match parameters.get(name) {
            Some(toml::Value::Boolean(holds)) => {
                vec![Token::make_keyword(if *holds { "TRUE" } else { "FALSE" })]
            }
            Some(toml::Value::String(text)) => vec![Token::SingleQuotedString(text.clone())],
            Some(toml::Value::Integer(_) | toml::Value::Float(_)) => number(&parameters[name]),
            Some(_) => return wrong(format!("parameter `{name}` has to be a number, a text, true or false")),
            None => {
                let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
                let known = match &known[..] {
                    [] => "there are none yet".to_owned(),
                    known => format!("those there are {}", known.join(", ")),
                };
                return wrong(format!("`{written}` is no parameter; set `{name}` in [parameters]: {known}"));
            }
        };
        replaced.extend(values.into_iter().map(|token| TokenWithSpan { token, span }));
    }
    Ok(replaced)
}

/// The tokens of a number.
fn number(value: &toml::Value) -> Vec<Token> {
    let text = value.to_string();
    match text.strip_prefix('-') {
        Some(digits) => {
            vec![Token::LParen, Token::Minus, Token::Number(digits.to_owned(), false), Token::RParen]
        }
        None => vec![Token::Number(text, false)],
    }
}
