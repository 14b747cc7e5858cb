//! The tree of a text, by `sqlparser`, and its errors.

use sqlparser::ast::{Expr, Statement};
use sqlparser::dialect::Dialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::fault::Fault;
use super::parameters::{Parameters, with_parameters};

// These limits bound the work and the recursion, and with it the stack.
/// Tokens of an expression, and of a statement.
const MAX_TOKENS: usize = 2_000;
const MAX_BYTES: usize = 64 << 10;
/// The same of a file of statements.
const MAX_FILE_TOKENS: usize = 50_000;
const MAX_FILE_BYTES: usize = 1 << 20;
/// Levels of parentheses.
const MAX_NESTED: usize = 50;

/// SQL as views and computed fields have it: names bare, in double quotes or in backquotes, texts in single quotes.
#[derive(Debug)]
struct Sql;

impl Dialect for Sql {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        matches!(character, '"' | '`')
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
}

/// The tokens of a text, and where it ends.
fn tokens(text: &str, bytes: usize) -> Result<(Vec<TokenWithSpan>, Location), Fault> {
    let start = Location { line: 1, column: 1 };
    if text.len() > bytes {
        return Err(Fault::at(start, format!("{} bytes are too many; give at most {bytes}", text.len())));
    }
    let tokens = Tokenizer::new(&Sql, text).tokenize_with_location().map_err(|error| {
        Fault::at(error.location, format!("{}; close or quote it", uncapitalized(&error.message)))
    })?;
    let end = tokens.last().map_or(start, |token| token.span.end);
    Ok((tokens, end))
}

/// Refuses more tokens than these, without blanks and comments.
fn bounded(tokens: &[TokenWithSpan], most: usize) -> Result<(), Fault> {
    match tokens.iter().filter(|token| !is_space(token)).nth(most) {
        None => Ok(()),
        Some(token) => {
            Err(Fault::at(token.span.start, format!("it has more than {most} tokens; make it shorter")))
        }
    }
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Parses an expression.
pub(super) fn parse(text: &str) -> Result<Expr, Fault> {
    let (tokens, end) = tokens(text, MAX_BYTES)?;
    bounded(&tokens, MAX_TOKENS)?;
    if tokens.iter().all(is_space) {
        let start = Location { line: 1, column: 1 };
        return Err(Fault::at(start, "the text is empty; give an expression over the fields"));
    }
    let mut parser = Parser::new(&Sql).with_recursion_limit(MAX_NESTED).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|error| of_parser(error, end))?;
    match parser.peek_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok(expr),
        behind => Err(Fault::at(behind.span.start, format!("unexpected `{behind}`; expected an operator"))),
    }
}

/// Parses statements, each with its position.
pub(super) fn statements(text: &str, parameters: &Parameters) -> Result<Vec<(Statement, Location)>, Fault> {
    let (tokens, end) = tokens(text, MAX_FILE_BYTES)?;
    let tokens = with_parameters(tokens, parameters)?;
    bounded(&tokens, MAX_FILE_TOKENS)?;
    for statement in tokens.split(|token| token.token == Token::SemiColon) {
        bounded(statement, MAX_TOKENS)?;
    }
    let mut parser = Parser::new(&Sql).with_recursion_limit(MAX_NESTED).with_tokens_with_locations(tokens);
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let next = parser.peek_token();
        if next.token == Token::EOF {
            return Ok(statements);
        }
        let statement = parser.parse_statement().map_err(|error| of_parser(error, end))?;
        let behind = parser.peek_token();
        if !matches!(behind.token, Token::EOF | Token::SemiColon) {
            let reason = format!("unexpected `{behind}`; expected `;` and the next statement");
            return Err(Fault::at(behind.span.start, reason));
        }
        statements.push((statement, next.span.start));
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
    let expected = said.strip_prefix("Expected").map(|said| said.trim_start_matches([':', ' ']));
    let reason = match expected.and_then(|said| said.split_once(", found: ")) {
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
