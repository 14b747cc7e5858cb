//! Mermaid output, for Markdown.

use std::fmt;
use std::fmt::Write as _;

use super::pen::{Pen, Shape, line};

#[derive(Default)]
pub(super) struct Mermaid {
    depth: usize,
}

impl Pen for Mermaid {
    fn begin(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "flowchart TB")
    }

    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result {
        let (open, close) = match shape {
            Shape::Source => ("([", "])"),
            Shape::Operator => ("[", "]"),
            Shape::Sink => ("[(", ")]"),
        };
        line(out, self.depth, format_args!("{id}{open}\"{}\"{close}", mermaid_text(label)))
    }

    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result {
        line(out, self.depth, format_args!("subgraph {id}[\"{}\"]", mermaid_text(label)))?;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, out: &mut String) -> fmt::Result {
        self.depth -= 1;
        line(out, self.depth, format_args!("end"))
    }

    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result {
        line(out, self.depth, format_args!("{from} --> {to}"))
    }

    fn end(&mut self, _: &mut String) -> fmt::Result {
        Ok(())
    }
}

/// Escapes a quoted label, in which Mermaid interprets HTML, Markdown and `#…;`. Underscores within a word are safe.
fn mermaid_text(label: &str) -> String {
    let mut text = String::new();
    let mut rest = label.chars().peekable();
    let mut in_word = false;
    while let Some(char) = rest.next() {
        let is_plain = match char {
            '_' => in_word && rest.peek().is_some_and(|next| next.is_alphanumeric() || *next == '_'),
            _ => char.is_alphanumeric() || " .,:/()+-=".contains(char),
        };
        match char {
            _ if char.is_control() => text.push(' '),
            _ if is_plain => text.push(char),
            _ => text.extend(["#", &u32::from(char).to_string(), ";"]),
        }
        in_word = char.is_alphanumeric() || (char == '_' && is_plain);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::drawing;
    use super::super::tests::delivered;
    use super::*;

    #[test]
    fn mermaid() {
        let expected = r##"flowchart TB
    source0(["topic T"])
    o2["Input"]
    subgraph view0["v_1 #38; #60;w#62;"]
        o3["a #34;b#92;"]
        o5["Deliver"]
        view0sink0[("file out/v_1 #38; #60;w#62;.csv")]
    end
    source0 --> o2
    o2 --> o3
    o3 --> o5
    o5 --> view0sink0
"##;
        assert_eq!(drawing(&delivered(), &mut Mermaid::default()), expected);
        assert_eq!(mermaid_text("_a_b_ *c*\n"), "#95;a_b#95; #42;c#42; ");
    }
}
