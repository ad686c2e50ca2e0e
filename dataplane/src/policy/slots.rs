//! Typed per-request state of policies. One slot per type, so that policies cannot see each other's by accident.

use std::any::{Any, TypeId};

use smallvec::SmallVec;

use super::Flags;

/// Per-request storage, empty until a policy puts something in. Costs nothing when no policy needs state.
#[derive(Default)]
pub struct Slots {
    state: SmallVec<[(TypeId, Box<dyn Any + Send + Sync>); 1]>,
    /// Response flags beside that of a reply.
    pub flags: Flags,
}

impl Slots {
    /// The value of type `T`, when some policy has put one in.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let wanted = TypeId::of::<T>();
        self.state.iter().find(|(id, _)| *id == wanted).and_then(|(_, value)| value.downcast_ref())
    }

    /// As [`Slots::get`], for changing it.
    pub fn get_mut<T: Any + Send + Sync>(&mut self) -> Option<&mut T> {
        let wanted = TypeId::of::<T>();
        self.state.iter_mut().find(|(id, _)| *id == wanted).and_then(|(_, value)| value.downcast_mut())
    }

    /// Stores `value`, replacing an earlier one of its type.
    pub fn put<T: Any + Send + Sync>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.state.retain(|(other, _)| *other != id);
        self.state.push((id, Box::new(value)));
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({})", self.state.len())
    }
}
