//! Graphviz output.

use std::fmt;
use std::fmt::Write as _;

use super::pen::{Pen, Shape, line};

#[derive(Default)]
pub(super) struct Dot {
    depth: usize,
}

impl Pen for Dot {
    fn begin(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "digraph truckflow {{")?;
        line(out, self.depth, format_args!("graph [fontname=\"Helvetica\", color=\"gray\"];"))?;
        line(out, self.depth, format_args!("node [fontname=\"Helvetica\", fontsize=11];"))
    }

    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result {
        let shape = match shape {
            Shape::Source => "shape=oval, style=bold",
            Shape::Operator => "shape=box",
            Shape::Sink => "shape=cylinder",
        };
        line(out, self.depth, format_args!("{id} [label=\"{}\", {shape}];", dot_text(label)))
    }

    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result {
        // Graphviz draws a subgraph as a box only if its name begins with `cluster`.
        line(out, self.depth, format_args!("subgraph cluster_{id} {{"))?;
        self.depth += 1;
        line(out, self.depth, format_args!("label=\"{}\";", dot_text(label)))
    }

    fn close(&mut self, out: &mut String) -> fmt::Result {
        self.depth -= 1;
        line(out, self.depth, format_args!("}}"))
    }

    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result {
        line(out, self.depth, format_args!("{from} -> {to};"))
    }

    fn end(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "}}")
    }
}

/// Escapes a quoted label. DOT decodes HTML entities in it.
fn dot_text(label: &str) -> String {
    label.chars().fold(String::new(), |mut text, char| {
        match char {
            _ if char.is_control() => text.push(' '),
            '"' | '\\' => text.extend(['\\', char]),
            '&' => text.push_str("&amp;"),
            _ => text.push(char),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::drawing;
    use super::super::tests::delivered;
    use super::*;

    #[test]
    fn dot() {
        let expected = r#"digraph truckflow {
    graph [fontname="Helvetica", color="gray"];
    node [fontname="Helvetica", fontsize=11];
    source0 [label="topic T", shape=oval, style=bold];
    o2 [label="Input", shape=box];
    subgraph cluster_view0 {
        label="v_1 &amp; <w>";
        o3 [label="a \"b\\", shape=box];
        o5 [label="Deliver", shape=box];
        view0sink0 [label="file out/v_1 &amp; <w>.csv", shape=cylinder];
    }
    source0 -> o2;
    o2 -> o3;
    o3 -> o5;
    o5 -> view0sink0;
}
"#;
        assert_eq!(drawing(&delivered(), &mut Dot::default()), expected);
    }
}
