//! A JSON array taken apart as it comes: its elements as text, each to be read by itself.

use thiserror::Error;

/// Where in the array the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the bracket.
    Start,
    /// After the bracket, before the first element.
    First,
    /// In an element, or before it.
    Element,
    /// After the closing bracket.
    End,
}

/// Why a text is no array whose elements can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ArrayError {
    /// What stands there is something else.
    #[error("the body is not a JSON array of messages")]
    NoArray,
    /// It would have to be kept.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// It ends before its bracket.
    #[error("the array does not end")]
    Incomplete,
    /// Something stands behind it.
    #[error("there is something behind the array")]
    Trailing,
}

/// See the module.
#[derive(Debug)]
pub struct Elements {
    state: State,
    element: Vec<u8>,
    /// Brackets and braces that are open within the element.
    depth: usize,
    in_text: bool,
    escaped: bool,
    limit: usize,
}

impl Elements {
    /// No element may be longer than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { state: State::Start, element: Vec::new(), depth: 0, in_text: false, escaped: false, limit }
    }

    /// Gives the elements that `piece` completes to `each`, in order.
    ///
    /// # Errors
    /// It is not an array, or what `each` says.
    pub fn push<E: From<ArrayError>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in piece {
            if let Some(element) = self.byte(*byte)? {
                each(&element)?;
            }
        }
        Ok(())
    }

    /// There is nothing more to come.
    ///
    /// # Errors
    /// The array has not ended.
    pub fn end(&self) -> Result<(), ArrayError> {
        match self.state {
            State::End => Ok(()),
            State::Start => Err(ArrayError::NoArray),
            State::First | State::Element => Err(ArrayError::Incomplete),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<Option<Vec<u8>>, ArrayError> {
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Start | State::First | State::End if space => Ok(None),
            State::Start if byte == b'[' => {
                self.state = State::First;
                Ok(None)
            }
            State::Start => Err(ArrayError::NoArray),
            State::End => Err(ArrayError::Trailing),
            State::First if byte == b']' => {
                self.state = State::End;
                Ok(None)
            }
            State::First | State::Element => {
                self.state = State::Element;
                self.within(byte)
            }
        }
    }

    fn within(&mut self, byte: u8) -> Result<Option<Vec<u8>>, ArrayError> {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b',' if self.depth == 0 => return Ok(Some(std::mem::take(&mut self.element))),
                b']' if self.depth == 0 => {
                    self.state = State::End;
                    return Ok(Some(std::mem::take(&mut self.element)));
                }
                // Whoever reads the element sees which of them do not fit.
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.element.len() >= self.limit {
            return Err(ArrayError::TooLong(self.limit));
        }
        self.element.push(byte);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str, cut: usize) -> Result<Vec<String>, ArrayError> {
        let mut array = Elements::new(20);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(cut) {
            array.push(piece, |element| {
                found.push(String::from_utf8(element.to_vec()).unwrap().trim().to_owned());
                Ok::<_, ArrayError>(())
            })?;
        }
        array.end().map(|()| found)
    }

    #[test]
    fn elements_come_out_of_any_cuts() {
        let text = " [ {\"a\": \"],}\\\"[\"} ,{\"b\":[1,[2]]},\n 3 ] \n";
        for cut in 1..text.len() {
            assert_eq!(
                elements(text, cut).unwrap(),
                ["{\"a\": \"],}\\\"[\"}", "{\"b\":[1,[2]]}", "3"],
                "{cut}"
            );
        }
        assert_eq!(elements("[]", 1).unwrap(), [""; 0]);
        // An element that is not there is for its reader to refuse.
        assert_eq!(elements("[,1]", 1).unwrap(), ["", "1"]);
    }

    #[test]
    fn what_is_no_array_is_told() {
        for (text, wanted) in [
            ("{}", ArrayError::NoArray),
            (" ", ArrayError::NoArray),
            ("[1", ArrayError::Incomplete),
            ("[", ArrayError::Incomplete),
            ("[1] 2", ArrayError::Trailing),
            ("[\"123456789012345678901\"]", ArrayError::TooLong(20)),
        ] {
            assert_eq!(elements(text, 3), Err(wanted), "{text}");
        }
    }
}
