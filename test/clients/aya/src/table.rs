//! aya's typed maps, used as bytes.

use aya::maps::{Array, HashMap, Map, MapData, MapError};

type Bytes = Vec<u8>;

/// A map from bytes to bytes. Keys and values of a wrong length are `MapError::InvalidKeySize` and `InvalidValueSize`.
pub trait Table {
    fn lookup(&self, key: &[u8]) -> Result<Bytes, MapError>;
    fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, MapError>;
    fn update(&mut self, key: &[u8], value: &[u8]) -> Result<(), MapError>;
}

/// aya's maps have their sizes in their types, so only some can be opened here.
///
/// # Errors
/// Those of aya, or a text for a map of another kind or other sizes.
pub fn open(data: MapData) -> crate::Result<Box<dyn Table>> {
    let info = data.info()?;
    let sizes = (info.key_size(), info.value_size());
    let kind = info.map_type()?;
    let map = Map::from_map_data(data)?;
    match map {
        Map::HashMap(_) | Map::LruHashMap(_) => match sizes {
            (4, 4) => hash::<4, 4>(map),
            (4, 8) => hash::<4, 8>(map),
            (4, 16) => hash::<4, 16>(map),
            (8, 8) => hash::<8, 8>(map),
            (8, 16) => hash::<8, 16>(map),
            (16, 8) => hash::<16, 8>(map),
            (16, 16) => hash::<16, 16>(map),
            _ => Err(format!(
                "this client does not read entries of {} and {} bytes",
                sizes.0, sizes.1
            )
            .into()),
        },
        Map::Array(_) => match sizes.1 {
            4 => array::<4>(map),
            8 => array::<8>(map),
            16 => array::<16>(map),
            size => Err(format!("this client does not read values of {size} bytes").into()),
        },
        _ => Err(format!("this client does not read a map of type {kind:?}").into()),
    }
}

fn hash<const K: usize, const V: usize>(map: Map) -> crate::Result<Box<dyn Table>> {
    Ok(Box::new(HashMap::<MapData, [u8; K], [u8; V]>::try_from(
        map,
    )?))
}

fn array<const V: usize>(map: Map) -> crate::Result<Box<dyn Table>> {
    Ok(Box::new(Array::<MapData, [u8; V]>::try_from(map)?))
}

impl<const K: usize, const V: usize> Table for HashMap<MapData, [u8; K], [u8; V]> {
    fn lookup(&self, key: &[u8]) -> Result<Bytes, MapError> {
        self.get(&sized_key(key)?, 0).map(Vec::from)
    }

    fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, MapError> {
        self.iter()
            .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect()
    }

    fn update(&mut self, key: &[u8], value: &[u8]) -> Result<(), MapError> {
        self.insert(sized_key::<K>(key)?, sized_value::<V>(value)?, 0)
    }
}

impl<const V: usize> Table for Array<MapData, [u8; V]> {
    fn lookup(&self, key: &[u8]) -> Result<Bytes, MapError> {
        self.get(&u32::from_ne_bytes(sized_key(key)?), 0)
            .map(Vec::from)
    }

    fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, MapError> {
        (0u32..)
            .zip(self.iter())
            .map(|(index, value)| Ok((index.to_ne_bytes().to_vec(), value?.to_vec())))
            .collect()
    }

    fn update(&mut self, key: &[u8], value: &[u8]) -> Result<(), MapError> {
        self.set(
            u32::from_ne_bytes(sized_key(key)?),
            sized_value::<V>(value)?,
            0,
        )
    }
}

fn sized_key<const N: usize>(bytes: &[u8]) -> Result<[u8; N], MapError> {
    bytes.try_into().map_err(|_| MapError::InvalidKeySize {
        size: bytes.len(),
        expected: N,
    })
}

fn sized_value<const N: usize>(bytes: &[u8]) -> Result<[u8; N], MapError> {
    bytes.try_into().map_err(|_| MapError::InvalidValueSize {
        size: bytes.len(),
        expected: N,
    })
}
