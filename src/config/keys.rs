//! What a key of the configuration is, and the macro by which a section declares its keys.
//!
//! A key is one field: its documentation, name, type, default and reader. The struct, the list of keys (for
//! suggestions, the manual and the example file) and the reading are made from it.

use std::fmt;

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// As in `listen` of `[server]`.
    pub name: &'static str,
    /// What holds where nothing sets it.
    pub default: KeyDefault,
    /// What it is for: words that begin with a space, as they follow `///`.
    pub(super) about: &'static str,
}

impl Key {
    /// What it is for.
    pub fn about(&self) -> &'static str {
        self.about.trim_start()
    }
}

/// A default, in the types that the file has; displayed as TOML.
#[derive(Debug, Clone, Copy)]
pub enum KeyDefault {
    /// Text; empty where the key is not set.
    Text(&'static str),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list of texts.
    List(&'static [&'static str]),
}

impl fmt::Display for KeyDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::List(items) => write!(f, "{items:?}"),
        }
    }
}

/// Declares a section: a struct with one field a key, whose documentation is that of the key.
///
/// `of name: Type` after the struct's name adds what tells one table of several. In `key: Type = default, reader;` the
/// reader is a function of the raw value, such as those of `settings`.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $visibility:vis struct $section:ident $(of $own:ident: $own_type:ty)? {
            $($(#[doc = $about:literal])+ $key:ident: $type:ty = $default:expr, $reader:expr;)+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone)]
        $visibility struct $section {
            $(#[doc = "The table's name."] pub $own: $own_type,)?
            $($(#[doc = $about])+ pub $key: $type,)+
        }

        impl $section {
            /// Its keys, in the order of the documentation.
            pub(super) const KEYS: &[Key] = &[$(Key {
                name: stringify!($key),
                default: $default,
                about: concat!($($about),+),
            }),+];

            /// Reads the keys of the table `name`; empty for those outside of all tables.
            pub(super) fn read(settings: &Settings, name: &str $(, $own: $own_type)?) -> Result<Self> {
                let table = settings.table(name);
                Ok(Self {
                    $($own,)?
                    $($key: table.get(stringify!($key), $default, $reader)?,)+
                })
            }
        }
    };
}

pub(super) use section;
