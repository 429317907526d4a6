//! Lists and maps that refuse to grow.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::text::{Name, TooLong};

/// A list of at most `MAX` items; reading stops at the first one more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// The items, unless there are too many.
    ///
    /// # Errors
    /// [`TooLong`], counted in items.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        if items.len() > MAX { Err(TooLong { got: items.len(), most: MAX }) } else { Ok(Self(items)) }
    }

    /// The items.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for V<T, MAX> {
            type Value = List<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() == MAX {
                        return Err(A::Error::custom(format_args!("more than {MAX} items")));
                    }
                    list.push(item);
                }
                Ok(List(list))
            }
        }
        d.deserialize_seq(V(PhantomData))
    }
}

/// A map of at most `MAX` entries with short keys; reading stops at the first entry more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Entries<V, const MAX: usize>(BTreeMap<Name, V>);

impl<V, const MAX: usize> Default for Entries<V, MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V, const MAX: usize> Entries<V, MAX> {
    /// The entries, unless there are too many.
    ///
    /// # Errors
    /// [`TooLong`], counted in entries.
    pub fn new(entries: BTreeMap<Name, V>) -> Result<Self, TooLong> {
        if entries.len() > MAX { Err(TooLong { got: entries.len(), most: MAX }) } else { Ok(Self(entries)) }
    }
}

impl<V, const MAX: usize> Deref for Entries<V, MAX> {
    type Target = BTreeMap<Name, V>;

    fn deref(&self) -> &BTreeMap<Name, V> {
        &self.0
    }
}

impl<'de, V: DeserializeOwned, const MAX: usize> Deserialize<'de> for Entries<V, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Vis<V, const MAX: usize>(PhantomData<V>);
        impl<'de, V: DeserializeOwned, const MAX: usize> Visitor<'de> for Vis<V, MAX> {
            type Value = Entries<V, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a map of at most {MAX} entries")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<Name, V>()? {
                    if entries.len() == MAX {
                        return Err(A::Error::custom(format_args!("more than {MAX} entries")));
                    }
                    entries.insert(key, value);
                }
                Ok(Entries(entries))
            }
        }
        d.deserialize_map(Vis(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_bound() {
        assert!(serde_json::from_str::<List<u8, 2>>("[1,2]").is_ok());
        assert!(serde_json::from_str::<List<u8, 2>>("[1,2,3]").is_err());
        assert!(serde_json::from_str::<Entries<u8, 1>>(r#"{"a":1}"#).is_ok());
        assert!(serde_json::from_str::<Entries<u8, 1>>(r#"{"a":1,"b":2}"#).is_err());
    }
}
