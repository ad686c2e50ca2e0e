//! `pipe`: one unix socket of the machines that workers run on.

use super::{Found, Type};
use crate::resource::{ObjectRef, Upstream, UpstreamType};
use crate::translate::Notes;

/// The type.
pub struct Pipe;

/// The longest path that a socket can have: `sun_path` of Linux without its end.
const LONGEST: usize = 107;

impl Type for Pipe {
    fn endpoints(&self, upstream: &Upstream, owner: &ObjectRef, notes: &mut Notes) -> Option<Found> {
        let UpstreamType::Pipe(spec) = upstream.upstream_type()? else { return None };
        let path = spec.path.as_str();
        let mut refuse = |message: String| notes.error(owner, "spec.pipe.path", message);
        if path.is_empty() {
            refuse("path cannot be empty for a pipe".to_owned());
        } else if path.starts_with('@') {
            refuse("sockets without a place in the file system are not supported".to_owned());
        } else if path.len() > LONGEST || path.contains('\0') {
            refuse(format!("a path of at most {LONGEST} bytes is needed"));
        }
        Some(Found { pipe: Some(path.into()), ..Found::default() })
    }
}
