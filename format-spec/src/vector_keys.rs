//! The operations of vectors on keys and slots, chapters 5 and 7.

use crate::fault::Result;
use crate::keys::{Class, Keys, Wrapped, encapsulation_bytes, h, hex};
use crate::slot::{Secret, Slot};
use crate::vector_ops::class;
use crate::vectors::{Outputs, Vector};
use crate::wrapped::{ToPublic, public_key, wrap_purpose};

/// All keys that follow from the root keys, of one epoch.
pub fn derive(v: &Vector) -> Result<Outputs> {
    let roots = v.roots()?;
    let mut outputs = vec![
        ("name-data", hex(&roots.naming(Class::Data))),
        ("name-tree", hex(&roots.naming(Class::Tree))),
        ("chunker", hex(&roots.lasting("chunker"))),
        ("split", hex(&roots.lasting("tree split"))),
    ];
    let epoch = v.number("epoch")? as u32;
    let purposes = [
        ("control", "control"),
        ("confirm", "confirm"),
        ("wrap-data", "wrap data"),
        ("wrap-tree", "wrap tree"),
        ("hedge", "hedge"),
    ];
    for (output, purpose) in purposes {
        outputs.push((output, hex(&roots.of_epoch(purpose, epoch)?)));
    }
    for (output, class) in [("public-data", Class::Data), ("public-tree", Class::Tree)] {
        outputs.push((output, hex(&h(&public_key(&roots.held(wrap_purpose(class), epoch)?)))));
    }
    Ok(outputs)
}

/// Opens a wrapped key.
pub fn wrapped(v: &Vector) -> Result<Outputs> {
    let wrapped = Wrapped::parse(&v.input)?;
    let key = wrapped.open(&v.roots()?, &v.id()?)?;
    Ok(vec![
        ("class", wrapped.class.number().to_string()),
        ("epoch", wrapped.epoch.to_string()),
        ("session", hex(&wrapped.session)),
        ("key", hex(&key)),
    ])
}

/// Makes the bytes of an encapsulation.
pub fn encapsulation(v: &Vector) -> Result<Outputs> {
    let epoch = v.number("epoch")? as u32;
    let (random, session) = (v.fixed("random")?, v.fixed("session")?);
    let bytes = encapsulation_bytes(&v.roots()?, epoch, &random, v.text("host")?, &session, class(v)?)?;
    Ok(vec![("bytes", hex(&bytes))])
}

/// Wraps to a public key, as a writer does.
pub fn wrap_to_public(v: &Vector) -> Result<Outputs> {
    let (class, epoch) = (class(v)?, v.number("epoch")? as u32);
    let (id, session, key) = (v.id()?, v.fixed("session")?, v.fixed("key")?);
    let public = public_key(&v.roots()?.held(wrap_purpose(class), epoch)?);
    let wrapped = ToPublic { id: &id, class, epoch, session: &session, key: &key };
    Ok(vec![("record", hex(&wrapped.wrap(&public, &v.fixed("encapsulation-bytes")?, &v.fixed("random")?)?))])
}

/// Opens a slot.
pub fn slot(v: &Vector) -> Result<Outputs> {
    let slot = Slot::parse(&v.input)?;
    let secret = match slot.kind {
        1 => Secret::Password(v.hex("secret")?),
        2 => Secret::KeyFile(v.fixed("secret")?),
        _ => Secret::Recovery(v.fixed("secret")?),
    };
    let bundle = slot.open(&secret)?;
    let label = slot.label(&bundle)?;
    let mut outputs = vec![
        ("repository", hex(&slot.id)),
        ("kind", slot.kind.to_string()),
        ("role", bundle.role.number().to_string()),
        ("label", label.text),
        ("made", label.made.to_string()),
        ("host", label.host),
        ("label-role", label.role.number().to_string()),
    ];
    let lists =
        [("roots", bundle.all()), ("control", &bundle.control), ("confirm", &bundle.confirm), ("wrap-tree", &bundle.wrap_tree)];
    outputs.extend(lists.into_iter().filter(|(_, keys)| !keys.is_empty()).map(|(name, keys)| (name, hex(&keys.concat()))));
    let single = [
        ("hedge", bundle.hedge),
        ("name-tree", bundle.tree_name),
        ("split", bundle.split),
        ("name-data", bundle.data_name),
        ("chunker", bundle.chunker),
        ("public-data", bundle.data_public.as_deref().map(h)),
        ("public-tree", bundle.tree_public.as_deref().map(h)),
        ("own", bundle.own),
    ];
    outputs.extend(single.into_iter().filter_map(|(name, key)| Some((name, hex(&key?)))));
    Ok(outputs)
}
