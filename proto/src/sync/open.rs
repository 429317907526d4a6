//! Objects that several peers write into: what one of them does not know must survive its writing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Object;

/// A struct of optional fields plus `rest`. Reading never fails on an object: a field that is missing, `null` or of a
/// type we do not expect is `None`, and what was there stays in `rest` and is written back as it was.
macro_rules! open_object {
    ($(#[$meta:meta])* pub struct $name:ident $(spelled by $spell:path)? {
        $($(#[$doc:meta])* $field:ident: $type:ty = $key:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// Everything else that was there.
            pub rest: $crate::sync::Object,
        }

        impl From<$crate::sync::Object> for $name {
            #[allow(unused_mut)]
            fn from(mut object: $crate::sync::Object) -> Self {
                $($spell(&mut object);)?
                Self { $($field: $crate::sync::open::take(&mut object, $key),)* rest: object }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::sync::Object::deserialize(d).map(Self::from)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let mut object = self.rest.clone();
                $(if let Some(value) = &self.$field {
                    let value = serde_json::to_value(value).map_err(serde::ser::Error::custom)?;
                    object.insert($key.to_owned(), value);
                })*
                object.serialize(s)
            }
        }

        /// Names the fields that are there. What they hold belongs to the owner and is not for a log.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "{"))?;
                $(if self.$field.is_some() { f.write_str(concat!($key, " "))?; })*
                write!(f, "+{}}}", self.rest.len())
            }
        }
    };
}

pub(crate) use open_object;

/// Takes a field out when it reads as `T`; otherwise leaves it.
pub(crate) fn take<T: DeserializeOwned>(object: &mut Object, key: &str) -> Option<T> {
    let read = T::deserialize(object.get(key)?).ok()?;
    object.remove(key);
    Some(read)
}

/// Renames a field another family spells differently, unless ours is there too.
pub(crate) fn respell(object: &mut Object, theirs: &str, ours: &str) {
    if object.contains_key(ours) {
        return;
    }
    if let Some(value) = object.remove(theirs) {
        object.insert(ours.to_owned(), value);
    }
}

/// A value that another family sends as JSON text: the value itself, or the text when it is no JSON.
pub(crate) fn unquote(value: Value) -> Value {
    match value {
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => inner,
            _ => Value::String(text),
        },
        other => other,
    }
}
