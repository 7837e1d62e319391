//! serde over a [`Tree`], so that every error knows its key.
//!
//! An enum that holds settings is written as a table with the variant's name under a tag key.
//! serde's own `tag` attribute buffers the table and loses the place of an error in it; here the enum's
//! serde name *is* the tag key (see `tagged.rs`) and nothing is buffered.

use super::problem::{Problem, join};
use super::tree::Tree;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess};
use serde::de::{Unexpected, VariantAccess, Visitor};
use std::collections::{BTreeMap, btree_map};
use toml::Value;

/// Stands for the settings of an enum that is written as only its name.
static NO_KEYS: Tree = Tree::Table(BTreeMap::new());

/// Decodes the whole of `tree`.
pub(super) fn decode<'a, T: serde::Deserialize<'a>>(tree: &'a Tree) -> Result<T, Problem> {
    T::deserialize(Node { tree, path: String::new(), tag: None })
}

/// A place in the tree.
#[derive(Clone)]
struct Node<'a> {
    tree: &'a Tree,
    path: String,
    /// A key that is already read: the name of the variant whose settings stand beside it.
    tag: Option<&'static str>,
}

impl<'a> Node<'a> {
    fn child(&self, key: &str, tree: &'a Tree) -> Self {
        Self { tree, path: join(&self.path, key), tag: None }
    }

    /// Adds the place to an error of a visitor, which knows none.
    fn place<T>(&self, result: Result<T, Problem>) -> Result<T, Problem> {
        result.map_err(|problem| {
            let placed = problem.path.strip_prefix(&self.path);
            let placed =
                placed.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('.'));
            if placed { problem } else { problem.inside(&self.path) }
        })
    }

    fn keys(&self) -> Option<Keys<'a>> {
        match self.tree {
            Tree::Table(table) => Some(Keys { node: self.clone(), entries: table.iter(), current: None }),
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'a> {
        match self.tree {
            Tree::Table(_) => Unexpected::Other("a table"),
            Tree::Array(_) => Unexpected::Other("an array"),
            Tree::Leaf(Value::String(text), _) => Unexpected::Str(text),
            Tree::Leaf(Value::Integer(number), _) => Unexpected::Signed(*number),
            Tree::Leaf(Value::Float(number), _) => Unexpected::Float(*number),
            Tree::Leaf(Value::Boolean(flag), _) => Unexpected::Bool(*flag),
            Tree::Leaf(..) => Unexpected::Other("a date"),
        }
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let result = match self.tree {
            Tree::Leaf(Value::String(text), _) => visitor.visit_borrowed_str(text),
            Tree::Leaf(Value::Integer(number), _) => visitor.visit_i64(*number),
            Tree::Leaf(Value::Float(number), _) => visitor.visit_f64(*number),
            Tree::Leaf(Value::Boolean(flag), _) => visitor.visit_bool(*flag),
            Tree::Leaf(..) => Err(Problem::invalid_type(self.unexpected(), &visitor)),
            Tree::Array(entries) => visitor.visit_seq(Entries { node: self.clone(), entries, next: 0 }),
            Tree::Table(table) => {
                visitor.visit_map(Keys { node: self.clone(), entries: table.iter(), current: None })
            }
        };
        self.place(result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.tree {
            Tree::Table(_) => self.deserialize_any(visitor),
            _ => self.place(Err(Problem::invalid_type(self.unexpected(), &visitor))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let tag = ["name", "kind", "type"].into_iter().find(|tag| *tag == name);
        let result = match (self.tree, tag) {
            (Tree::Table(table), Some(tag)) => match table.get(tag) {
                Some(Tree::Leaf(Value::String(variant), _)) => {
                    let settings = Self { tag: Some(tag), ..self.clone() };
                    let named_at = join(&self.path, tag);
                    visitor.visit_enum(Variant { variant, named_at, settings })
                }
                Some(other) => {
                    let found = self.child(tag, other);
                    found.place(Err(Problem::invalid_type(found.unexpected(), &"a string")))
                }
                None => Err(Problem::at(
                    tag,
                    format!("this key is missing; it is one of {}", variants.join(", ")),
                )),
            },
            (Tree::Leaf(Value::String(variant), _), None | Some("name")) => {
                let settings = Self { tree: &NO_KEYS, ..self.clone() };
                visitor.visit_enum(Variant { variant, named_at: self.path.clone(), settings })
            }
            _ => {
                let expected = format!("one of {}", variants.join(", "));
                Err(Problem::invalid_type(self.unexpected(), &expected.as_str()))
            }
        };
        self.place(result)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The entries of an array.
struct Entries<'a> {
    node: Node<'a>,
    entries: &'a [Tree],
    next: usize,
}

impl<'de> SeqAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let node = self.node.child(&self.next.to_string(), entry);
        self.next += 1;
        seed.deserialize(node).map(Some)
    }
}

/// The keys of a table, less the tag.
struct Keys<'a> {
    node: Node<'a>,
    entries: btree_map::Iter<'a, String, Tree>,
    current: Option<Node<'a>>,
}

impl<'de> MapAccess<'de> for Keys<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let tag = self.node.tag;
        let Some((key, value)) = self.entries.find(|(key, _)| Some(key.as_str()) != tag) else {
            return Ok(None);
        };
        self.current = Some(self.node.child(key, value));
        let name: StrDeserializer<'_, Problem> = key.as_str().into_deserializer();
        let decoded = seed.deserialize(name).map_err(|problem| problem.inside(&self.node.path));
        decoded.map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        match self.current.take() {
            Some(node) => seed.deserialize(node),
            None => Err(Problem::custom("a value without a key")),
        }
    }
}

/// A variant's name, and its settings.
struct Variant<'a> {
    variant: &'a str,
    named_at: String,
    settings: Node<'a>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Problem;
    type Variant = Node<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Node<'de>), Problem> {
        let name: StrDeserializer<'_, Problem> = self.variant.into_deserializer();
        let variant = seed.deserialize(name).map_err(|problem| problem.inside(&self.named_at))?;
        Ok((variant, self.settings))
    }
}

impl<'de> VariantAccess<'de> for Node<'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        let Some(keys) = self.keys() else { return Ok(()) };
        let mut unread = keys.entries.filter(|(key, _)| Some(key.as_str()) != self.tag);
        match unread.next() {
            Some((key, _)) => Err(Problem::unknown_field(key, &[]).inside(&self.path)),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_any(visitor)
    }
}
