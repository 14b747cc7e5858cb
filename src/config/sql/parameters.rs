//! `$name`: values of the configuration in the text of views.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::fault::Fault;

/// The values of `$name`, by name.
pub type Parameters = BTreeMap<String, toml::Value>;

/// The values of the built-in views' parameters that `[parameters]` does not set.
pub fn defaults() -> Parameters {
    let text = |text: &str| toml::Value::String(text.into());
    let defaults = [
        ("above_speed", toml::Value::Integer(80)),
        ("speed_factor", toml::Value::Float(1.2)),
        ("correlation_tables", text("history")),
        ("window", text("5m")),
        ("window_idle", text("5m")),
        ("window_retention", text("24h")),
        ("join_retention", text("10m")),
        ("join_limit", toml::Value::Integer(10_000)),
    ];
    defaults.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads values. Those that are not given are the defaults of the built-in views.
pub fn with_defaults<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
    let mut all = defaults();
    all.extend(Parameters::deserialize(deserializer)?);
    Ok(all)
}

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
                let known = known.join(", ");
                return wrong(format!(
                    "`{written}` is no parameter; set `{name}` in [parameters]: there are {known}"
                ));
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
