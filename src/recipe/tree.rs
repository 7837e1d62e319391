//! A recipe before it is typed: TOML whose every leaf remembers where it came from.
//!
//! The source travels with the value, so that inserting or removing layers cannot mix up what
//! `--print-config` says.

use super::problem::Problem;
use std::collections::BTreeMap;
use std::fmt;
use toml::Value;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Written nowhere: the program's default.
    Default,
    /// Written in the recipe.
    Recipe,
    /// A flag of its own, such as `--epochs`.
    Flag(&'static str),
    /// `--set key=value`.
    Set,
}

impl Source {
    /// Whether the command line decided.
    pub fn is_override(&self) -> bool {
        matches!(self, Self::Flag(_) | Self::Set)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Recipe => f.write_str("recipe"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Set => f.write_str("--set"),
        }
    }
}

/// TOML with sources.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// A string, number, boolean or date.
    Leaf(Value, Source),
    /// Entries, numbered from 0 in paths.
    Array(Vec<Tree>),
    /// Keys.
    Table(BTreeMap<String, Tree>),
}

impl Tree {
    pub(super) fn new(value: Value, source: &Source) -> Self {
        match value {
            Value::Array(entries) => Self::Array(entries.into_iter().map(|v| Self::new(v, source)).collect()),
            Value::Table(table) => {
                Self::Table(table.into_iter().map(|(key, v)| (key, Self::new(v, source))).collect())
            }
            leaf => Self::Leaf(leaf, source.clone()),
        }
    }

    /// The value under a dotted path. A string stands for a table of only a `name` (initialisers have both forms).
    pub(super) fn get(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        match self {
            Self::Table(table) => table.get(key)?.get(rest),
            Self::Array(entries) => entries.get(key.parse::<usize>().ok()?)?.get(rest),
            Self::Leaf(Value::String(_), _) if path == "name" => Some(self),
            Self::Leaf(..) => None,
        }
    }

    /// The string under `key` of a table.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Leaf(Value::String(text), _) => Some(text),
            _ => None,
        }
    }

    /// Puts `value` under a dotted path, making the tables on the way.
    pub(super) fn set(&mut self, path: &str, value: Self) -> Result<(), Problem> {
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        if let Self::Leaf(name @ Value::String(_), source) = self {
            let name = Self::Leaf(name.clone(), source.clone());
            *self = Self::Table(BTreeMap::from([("name".to_string(), name)]));
        }
        let place = match self {
            Self::Table(table) => {
                table.entry(key.to_string()).or_insert_with(|| Self::Table(BTreeMap::new()))
            }
            Self::Array(entries) => {
                let count = entries.len();
                let index = key.parse::<usize>().ok().filter(|index| *index < count);
                let Some(index) = index else { return Err(no_entry(key, count)) };
                &mut entries[index]
            }
            Self::Leaf(value, _) => {
                return Err(Problem::at("", format!("holds {value}, which has no key `{key}` inside")));
            }
        };
        if rest.is_empty() {
            *place = value;
            return Ok(());
        }
        place.set(rest, value).map_err(|problem| problem.inside(key))
    }

    /// Drops a key of a table; nothing happens where there is none.
    pub(super) fn remove(&mut self, key: &str) -> Option<Self> {
        match self {
            Self::Table(table) => table.remove(key),
            _ => None,
        }
    }

    /// Whether the command line decided anything in here.
    pub(super) fn has_override(&self) -> bool {
        match self {
            Self::Leaf(_, source) => source.is_override(),
            Self::Array(entries) => entries.iter().any(Self::has_override),
            Self::Table(table) => table.values().any(Self::has_override),
        }
    }
}

fn no_entry(key: &str, count: usize) -> Problem {
    let range = match count {
        0 => "there are none".to_string(),
        _ => format!("entries here count from 0 to {}", count - 1),
    };
    Problem::at(key, format!("no such entry; {range}"))
}

/// Every leaf of a table with its dotted path, in the table's order.
pub(super) fn leaves(value: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(value, String::new(), &mut found);
    found
}

fn collect<'a>(value: &'a Value, path: String, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Table(table) => {
            for (key, inner) in table {
                collect(inner, super::problem::join(&path, key), found);
            }
        }
        Value::Array(entries) => {
            for (index, inner) in entries.iter().enumerate() {
                collect(inner, super::problem::join(&path, &index.to_string()), found);
            }
        }
        leaf => found.push((path, leaf)),
    }
}
