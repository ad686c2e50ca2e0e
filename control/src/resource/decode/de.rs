//! A serde deserializer over nodes, with the leniency of the decoder that published manifests were written for.
//!
//! Types of the API are decoded by their derived implementations. The struct's name and field list, which the derive
//! hands over, drive the field catalogue; see `fields`.

use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor};
use serde::de::{Error as _, value::StrDeserializer};
use serde::{Deserializer, forward_to_deserialize_any};

use super::cx::{Cx, Fail, Message, address};
use super::fields;
use super::hint;
use super::node::{Meaning, Node, Pair, Scalar, Value, shown};

/// A node to decode.
#[derive(Clone, Copy)]
pub struct De<'n> {
    node: &'n Node,
    cx: &'n Cx,
}

impl<'n> De<'n> {
    /// Decodes this node.
    pub fn new(node: &'n Node, cx: &'n Cx) -> De<'n> {
        De { node, cx }
    }

    fn scalar(&self) -> Option<&'n Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The value is of a wrong type.
    fn wrong(&self, expected: &str) -> Fail {
        let mut message = format!("needs {expected}, found {}", self.node.describe());
        if let Some([Pair { key, .. }]) = self.node.pairs()
            && key == "value"
        {
            message.push_str("; write the value itself, without `value:`");
        }
        self.cx.fail(self.node, message)
    }

    fn whole<V: Visitor<'n>>(self, low: i128, high: i128, visitor: V) -> Result<V::Value, Fail> {
        let expected = || format!("a whole number from {low} to {high}");
        let value = match self.scalar() {
            Some(Scalar { meaning: Meaning::Int(value), .. }) => *value,
            Some(Scalar { meaning: Meaning::Float(value), .. })
                if value.fract() == 0.0 && value.abs() < 1e18 =>
            {
                *value as i128
            }
            Some(Scalar { meaning: Meaning::Text, text }) => match text.parse::<i128>() {
                Ok(value) => value,
                Err(_) => return Err(self.wrong(&expected())),
            },
            _ => return Err(self.wrong(&expected())),
        };
        if value < low || value > high {
            return Err(self.wrong(&expected()));
        }
        let result = match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => visitor.visit_i64(value),
            (_, Ok(value)) => visitor.visit_u64(value),
            _ => Err(Fail::custom(expected())),
        };
        result.map_err(|fail| self.cx.placed(self.node, fail))
    }
}

impl<'n> Deserializer<'n> for De<'n> {
    type Error = Fail;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Int(_) => self.whole(i128::from(i64::MIN), i128::from(u64::MAX), visitor),
                Meaning::Float(value) => visitor.visit_f64(value),
                Meaning::Text => visitor.visit_str(&scalar.text),
            }
            .map_err(|fail: Fail| self.cx.placed(self.node, fail)),
        }
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match self.scalar() {
            Some(Scalar { meaning: Meaning::Bool(value), .. }) => {
                visitor.visit_bool(*value).map_err(|fail| self.cx.placed(self.node, fail))
            }
            Some(Scalar { meaning: Meaning::Text, text }) if text == "true" || text == "false" => {
                Err(self.wrong("true or false without quotes"))
            }
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_u32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.whole(0, i128::from(u32::MAX), visitor)
    }

    fn deserialize_i32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.whole(i128::from(i32::MIN), i128::from(i32::MAX), visitor)
    }

    fn deserialize_u64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.whole(0, i128::from(u64::MAX), visitor)
    }

    fn deserialize_i64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.whole(i128::from(i64::MIN), i128::from(i64::MAX), visitor)
    }

    fn deserialize_f64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        let value = match self.scalar() {
            Some(Scalar { meaning: Meaning::Int(value), .. }) => *value as f64,
            Some(Scalar { meaning: Meaning::Float(value), .. }) => *value,
            Some(Scalar { meaning: Meaning::Text, text }) => {
                text.parse().map_err(|_| self.wrong("a number"))?
            }
            _ => return Err(self.wrong("a number")),
        };
        visitor.visit_f64(value).map_err(|fail| self.cx.placed(self.node, fail))
    }

    fn deserialize_f32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match self.scalar() {
            Some(Scalar { meaning: Meaning::Text, text }) => {
                visitor.visit_str(text).map_err(|fail| self.cx.placed(self.node, fail))
            }
            // A duration without a unit is told what it lacks, rather than that it is a number.
            Some(scalar) if scalar.meaning != Meaning::Null => {
                match visitor.visit_str::<Fail>(&scalar.text) {
                    Ok(_) => Err(self.wrong(&format!("a text (in quotes: \"{}\")", shown(&scalar.text)))),
                    Err(fail) => Err(self.cx.placed(self.node, fail)),
                }
            }
            _ => Err(self.wrong("a text")),
        }
    }

    fn deserialize_string<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::List(items) => visitor
                .visit_seq(Items { items, next: 0, cx: self.cx })
                .map_err(|fail| self.cx.placed(self.node, fail)),
            Value::Map(_) => Err(self.wrong("a list (begin each item with `- `)")),
            Value::Scalar(scalar) if scalar.meaning == Meaning::Null => Err(self.wrong("a list")),
            Value::Scalar(scalar) => {
                Err(self
                    .wrong(&format!("a list (`[{}]` or lines that begin with `- `)", shown(&scalar.text))))
            }
        }
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::Map(pairs) => {
                let pairs = fields::unique(self.cx, pairs);
                let access = Pairs { pairs: pairs.into_iter(), current: None, free: true, cx: self.cx };
                visitor.visit_map(access).map_err(|fail| self.cx.placed(self.node, fail))
            }
            _ => Err(self.wrong("a mapping (`key: value`)")),
        }
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let message = Message { name, fields };
        let pairs: &[Pair] = match &self.node.value {
            Value::Map(pairs) => pairs,
            // An item of a list may be `null`: an empty message.
            Value::Scalar(scalar) if scalar.meaning == Meaning::Null => &[],
            Value::List(_) => {
                return Err(self.wrong(&format!("a mapping{}, not a list", hint::examples(fields))));
            }
            Value::Scalar(_) => return Err(self.wrong(&format!("a mapping{}", hint::examples(fields)))),
        };
        self.cx.message(message, || {
            let pairs = fields::known(self.cx, message, pairs);
            let access = Pairs { pairs: pairs.into_iter(), current: None, free: false, cx: self.cx };
            visitor.visit_map(access).map_err(|fail| self.cx.placed(self.node, fail))
        })
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let listed = || variants.join(", ");
        let name = match self.scalar() {
            Some(Scalar { meaning: Meaning::Text, text }) => {
                variants.iter().find(|variant| *variant == text).copied()
            }
            Some(Scalar { meaning: Meaning::Int(number), .. }) => {
                usize::try_from(*number).ok().and_then(|number| variants.get(number)).copied()
            }
            _ => return Err(self.wrong(&format!("one of {}", listed()))),
        };
        let Some(name) = name else {
            let mut fail = self.wrong(&format!("one of {}", listed()));
            if let Some(near) =
                self.node.text().and_then(|text| hint::nearest(text, variants.iter().copied()))
            {
                fail.message.push_str(&format!("; did you mean `{near}`?"));
            }
            return Err(fail);
        };
        visitor.visit_enum(Variant(name)).map_err(|fail| self.cx.placed(self.node, fail))
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'n>>
        i8 i16 i128 u8 u16 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The items of a list. Items that an earlier run found wrong are left out.
struct Items<'n> {
    items: &'n [Node],
    next: usize,
    cx: &'n Cx,
}

impl<'n> SeqAccess<'n> for Items<'n> {
    type Error = Fail;

    fn next_element_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<Option<T::Value>, Fail> {
        while let Some(node) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            if self.cx.bad.contains(&address(node)) {
                continue;
            }
            let cx = self.cx;
            let position = (node.line, node.column);
            return cx
                .index(index, position, || {
                    seed.deserialize(De { node, cx }).map_err(|fail| cx.placed(node, fail))
                })
                .map(Some);
        }
        Ok(None)
    }
}

/// The pairs of a message or of a free map.
struct Pairs<'n, I: Iterator<Item = (&'n str, &'n Pair)>> {
    pairs: I,
    current: Option<(&'n str, &'n Pair)>,
    free: bool,
    cx: &'n Cx,
}

impl<'n, I: Iterator<Item = (&'n str, &'n Pair)>> MapAccess<'n> for Pairs<'n, I> {
    type Error = Fail;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, Fail> {
        self.current = self.pairs.next();
        match self.current {
            Some((name, _)) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Fail> {
        let Some((name, pair)) = self.current.take() else {
            return Err(Fail::custom("a value was asked for before its key"));
        };
        let (cx, node, position) = (self.cx, &pair.value, (pair.line, pair.column));
        let decode = || seed.deserialize(De { node, cx }).map_err(|fail| cx.placed(node, fail));
        if self.free { cx.key(name, position, decode) } else { cx.field(name, position, decode) }
    }
}

/// An enum value by its name.
struct Variant(&'static str);

impl<'n> EnumAccess<'n> for Variant {
    type Error = Fail;
    type Variant = Variant;

    fn variant_seed<V: DeserializeSeed<'n>>(self, seed: V) -> Result<(V::Value, Variant), Fail> {
        let value = seed.deserialize(StrDeserializer::<Fail>::new(self.0))?;
        Ok((value, self))
    }
}

impl<'n> VariantAccess<'n> for Variant {
    type Error = Fail;

    fn unit_variant(self) -> Result<(), Fail> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'n>>(self, _: T) -> Result<T::Value, Fail> {
        Err(Fail::invalid_type(Unexpected::UnitVariant, &"a name"))
    }

    fn tuple_variant<V: Visitor<'n>>(self, _: usize, _: V) -> Result<V::Value, Fail> {
        Err(Fail::invalid_type(Unexpected::UnitVariant, &"a name"))
    }

    fn struct_variant<V: Visitor<'n>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fail> {
        Err(Fail::invalid_type(Unexpected::UnitVariant, &"a name"))
    }
}
