//! A number within bounds.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Refused;
use crate::idl::{Type, Types};

/// A whole number of type `T` from `MIN` to `MAX`, e.g. `Bounded<u16, 1, 1024>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<T, const MIN: i64, const MAX: i64>(T);

impl<T: Copy + Into<i128>, const MIN: i64, const MAX: i64> Bounded<T, MIN, MAX> {
    /// The number, if it is within the bounds.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn new(number: T) -> Result<Self, Refused> {
        let value: i128 = number.into();
        if value < MIN.into() || value > MAX.into() {
            return Err(Refused(format!("{value} is not within {MIN} and {MAX}")));
        }
        Ok(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> T {
        self.0
    }
}

impl<T, const MIN: i64, const MAX: i64> Deref for Bounded<T, MIN, MAX> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Display, const MIN: i64, const MAX: i64> fmt::Display for Bounded<T, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const MIN: i64, const MAX: i64> Serialize for Bounded<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, T, const MIN: i64, const MAX: i64> Deserialize<'de> for Bounded<T, MIN, MAX>
where
    T: Deserialize<'de> + Copy + Into<i128>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(T::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl<T: Type, const MIN: i64, const MAX: i64> Type for Bounded<T, MIN, MAX> {
    fn idl(types: &mut Types) -> String {
        T::idl(types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Retries = Bounded<u8, 1, 5>;

    #[test]
    fn only_what_is_within_the_bounds_is_parsed() {
        assert_eq!(serde_json::from_str::<Retries>("5").unwrap().get(), 5);
        for bad in ["0", "6", "256", "-1", "1.5", "\"1\""] {
            assert!(serde_json::from_str::<Retries>(bad).is_err(), "{bad}");
        }
    }
}
