//! A wrapper for secret bytes that cannot be printed, compared or serialised by accident.
//!
//! Reading is explicit and easy to find: every use of a secret is a call of [`Sensitive::expose`].

use std::fmt;

use zeroize::Zeroize;

/// A secret value: no `Display`, no `Serialize`, a `Debug` without content, wiped when dropped.
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Takes the secret over.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself. Must not be logged, stored in clear text or put in an error.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Zeroize + Clone> Clone for Sensitive<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sensitive]")
    }
}

/// Keeps this process's memory, and the keys in it, out of core dumps and away from debuggers of the same user. Where the
/// system refuses, nothing else changes.
pub fn keep_out_of_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A program that the kernel pipes dumps into goes by this one.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Sensitive::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "[sensitive]");
        assert_eq!(secret.expose(), b"hunter2");
    }
}
