//! A file of many documents that is parsed again after an edit.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{parse, parse_again};

fn document(name: u8, form: u8) -> String {
    match form % 7 {
        0 => "# nothing\n".to_owned(),
        1 => "kind: [\n".to_owned(),
        2 => format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{name}}}\n"),
        3 => format!(
            "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: u{name}}}\nspec: {{noSuch: 1}}\n"
        ),
        _ => format!(
            "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: u{name}}}\n\
             spec: {{static: {{hosts: [{{addr: 10.0.0.{form}, port: 80}}]}}}}\n"
        ),
    }
}

fn text(documents: &[(u8, u8)]) -> String {
    documents.iter().map(|(name, form)| document(*name, *form)).collect::<Vec<_>>().join("---\n")
}

proptest! {
    /// Whatever was there before, the outcome is that of the text.
    #[test]
    fn it_gives_what_a_first_parse_gives(
        texts in proptest::collection::vec(proptest::collection::vec((0..6u8, any::<u8>()), 0..6), 1..5),
    ) {
        let file = Path::new("in.yaml");
        let mut before = parse(file, "", "ns");
        for documents in texts {
            let text = text(&documents);
            let again = parse_again(file, &text, "ns", &before);
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", parse(file, &text, "ns")));
            before = again;
        }
    }
}

#[test]
fn documents_that_did_not_change_are_taken_over() {
    let (file, before) = (Path::new("in.yaml"), [(0, 4), (1, 4), (2, 4)]);
    let before = parse(file, &text(&before), "ns");
    let after = parse_again(file, &text(&[(0, 4), (1, 11), (2, 4)]), "ns", &before);
    let same: Vec<bool> = before.entries.iter().zip(&after.entries).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(same, [true, false, true]);
}
