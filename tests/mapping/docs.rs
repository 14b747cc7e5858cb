//! The configurations in docs/messages.md.

use std::fs;

use super::job;

#[test]
fn every_recipe_is_a_configuration() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/messages.md");
    let page = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 10);
    for block in blocks {
        job(block);
    }
}
