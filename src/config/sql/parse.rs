//! The tree of a text, by `sqlparser`, and its errors.

use sqlparser::ast::{Expr, Ident};
use sqlparser::dialect::MySqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::fault::Fault;

// These limits bound the work and the recursion, and with it the stack.
const MAX_TOKENS: usize = 2_000;
const MAX_BYTES: usize = 64 << 10;
/// Levels of parentheses.
const MAX_NESTED: usize = 50;

/// Parses an expression and the name after AS, if there is one.
pub(super) fn parse(text: &str) -> Result<(Expr, Option<Ident>), Fault> {
    let start = Location { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(Fault::at(start, format!("{} bytes are too many; give at most {MAX_BYTES}", text.len())));
    }
    let dialect = MySqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        Fault::at(error.location, format!("{}; close or quote it", uncapitalized(&error.message)))
    })?;
    let is_space = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    if let Some(token) = tokens.iter().filter(|token| !is_space(token)).nth(MAX_TOKENS) {
        let reason = format!("it has more than {MAX_TOKENS} tokens; make it shorter");
        return Err(Fault::at(token.span.start, reason));
    }
    let end = tokens.last().map_or(start, |token| token.span.end);
    if tokens.iter().all(|token| is_space(&token)) {
        return Err(Fault::at(start, "the text is empty; give an expression over the fields"));
    }
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(MAX_NESTED).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|error| of_parser(error, end))?;
    let name = match parser.parse_keyword(Keyword::AS) {
        true => Some(parser.parse_identifier().map_err(|error| of_parser(error, end))?),
        false => None,
    };
    match parser.peek_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok((expr, name)),
        behind => Err(Fault::at(
            behind.span.start,
            format!("unexpected `{behind}`; expected an operator, or AS and a name"),
        )),
    }
}

/// The error of the parser, whose position is only in the text of its message.
fn of_parser(error: ParserError, end: Location) -> Fault {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            let reason = "it is nested too deeply; use at most 50 levels of parentheses";
            return Fault::at(Location { line: 0, column: 0 }, reason);
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (said, at) = match message.rsplit_once(" at Line: ") {
        Some((said, place)) => {
            let numbers = place.split_once(", Column: ");
            let at = numbers.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
            (said, at.map_or(end, |(line, column)| Location { line, column }))
        }
        None => (message.as_str(), end),
    };
    let reason = match said.strip_prefix("Expected: ").and_then(|said| said.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("the text ends too early; expected {expected}"),
        Some((expected, found)) => format!("unexpected `{found}`; expected {expected}"),
        None => format!("{said}; give an SQL expression"),
    };
    Fault::at(at, reason)
}

/// A message of the tokenizer as part of a sentence.
fn uncapitalized(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
