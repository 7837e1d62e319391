//! One macro for the enums that are tables in TOML: optimisers, schedules, layers.

/// Declares an enum of settings structs that is written as one table: the variant's name under the key
/// `$tag`, in the case `$case`, and beside it the fields of the variant's struct.
macro_rules! tagged {
    (
        $(#[$meta:meta])*
        pub enum $name:ident by $tag:tt in $case:tt {
            $($(#[$doc:meta])* $variant:ident($config:ty)),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(rename = $tag, rename_all = $case)]
        pub enum $name {
            $($(#[$doc])* $variant($config)),*
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                #[derive(serde::Serialize)]
                #[serde(tag = $tag, rename_all = $case)]
                enum Tagged<'a> {
                    $($variant(&'a $config)),*
                }
                let tagged = match self {
                    $(Self::$variant(config) => Tagged::$variant(config)),*
                };
                serde::Serialize::serialize(&tagged, serializer)
            }
        }
    };
}

pub(crate) use tagged;
