//! Stores behind a network, through OpenDAL: S3 and what speaks like it.
//!
//! A put that returned is durable there, so barriers are nothing to wait for. Objects are named by their bytes: a put whose answer was lost may be made again.

use super::healed::Listing;
use super::service::translate;
use super::{Store, StoreError, StoreErrorKind};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::{EntryMode, ErrorKind, Metadata, Operator};
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

/// A call that moves no contents is given up after this time, and made again.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The same for one that moves a whole pack: at the slowest line that a backup over it makes sense on.
const PACK_TIMEOUT: Duration = Duration::from_mins(10);
/// How often a call is made again that may well work then, and how long the first pause is.
const RETRIES: usize = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// A bucket, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Location {
    /// `https://host[:port]`; `None`: Amazon's, or what `AWS_ENDPOINT_URL` says.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The folder in it, without slashes at its ends; may be empty.
    pub prefix: String,
}

/// Environment variables by which every program that uses S3 is told where it is and who it is. Keys themselves are read by the library below.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// Where nothing names a region; services that are not Amazon's take any.
const REGION: &str = "us-east-1";

/// Objects in a bucket.
pub struct RemoteStore {
    location: String,
    bucket: String,
    operator: Operator,
    runtime: tokio::runtime::Runtime,
}

impl S3Location {
    /// Reads what follows `s3:`: `//bucket/prefix`, `https://host/bucket/prefix` or, as restic writes it, `host/bucket/prefix`.
    pub fn parse(text: &str) -> Option<Self> {
        let (endpoint, path) = if let Some(path) = text.strip_prefix("//") {
            (None, path)
        } else {
            let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
            let (host, path) = rest.split_once('/')?;
            if host.is_empty() || !matches!(scheme, "http" | "https") {
                return None;
            }
            (Some(format!("{scheme}://{host}")), path)
        };
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        (!bucket.is_empty()).then(|| Self { endpoint, bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl RemoteStore {
    /// The store at a bucket. Nothing is read or written. `variable` gives environment variables.
    pub fn s3(location: &S3Location, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let shown = format!("s3:{}/{}/{}", location.endpoint.as_deref().unwrap_or("/"), location.bucket, location.prefix);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .enable_all()
            .build()
            .map_err(|error| StoreError::from_io(&shown, &error))?;
        let region = REGIONS.iter().find_map(|name| variable(name)).unwrap_or_else(|| REGION.to_owned());
        let mut builder = opendal::services::S3::default().bucket(&location.bucket).root(&format!("/{}/", location.prefix)).region(&region);
        if let Some(endpoint) = location.endpoint.clone().or_else(|| variable(ENDPOINT)) {
            builder = builder.endpoint(&endpoint);
        }
        // Once is enough, and more does no harm.
        opendal::install_default();
        let operator = {
            let _inside = runtime.enter();
            Operator::new(builder).map_err(|error| translate(&shown, &error))?
        };
        let timeout = TimeoutLayer::new().with_timeout(CALL_TIMEOUT).with_io_timeout(PACK_TIMEOUT);
        let retry = RetryLayer::new().with_max_times(RETRIES).with_min_delay(PAUSE).with_jitter();
        Ok(Self { location: shown, bucket: location.bucket.clone(), operator: operator.layer(timeout).layer(retry), runtime })
    }

    fn wait<T>(&self, object: impl ToString, call: impl Future<Output = opendal::Result<T>>) -> Result<T, StoreError> {
        self.runtime.block_on(call).map_err(|error| if names_no_bucket(&error) { self.no_place() } else { translate(object, &error) })
    }

    /// The same for calls to which "not found" can only mean the bucket, in whatever words the service says it.
    fn wait_for_place<T>(&self, object: impl ToString, call: impl Future<Output = opendal::Result<T>>) -> Result<T, StoreError> {
        let answer = self.wait(object, call);
        answer.map_err(|error| if error.kind == StoreErrorKind::Missing { self.no_place() } else { error })
    }

    fn no_place(&self) -> StoreError {
        StoreError::new(StoreErrorKind::NoPlace, &self.location, format!("the bucket {} does not exist", self.bucket))
    }

    /// What the service says of an object; `None` if there is no such object.
    fn metadata(&self, name: &ObjectName) -> Result<Option<Metadata>, StoreError> {
        match self.runtime.block_on(self.operator.stat(&name.path())) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(translate(name, &error)),
        }
    }
}

/// Whether a service says by the code of S3 that there is no such bucket.
fn names_no_bucket(error: &opendal::Error) -> bool {
    error.kind() == ErrorKind::ConfigInvalid && error.message().contains("NoSuchBucket")
}

impl Store for RemoteStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.wait_for_place(name, self.operator.write(&name.path(), bytes)).map(drop)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.wait(name, self.operator.read(&name.path())).map(|buffer| buffer.to_vec())
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let path = name.path();
        let bytes = self.wait(name, async { self.operator.read_with(&path).range(range.clone()).await })?.to_vec();
        if bytes.len() as u64 != range.end - range.start {
            return Err(StoreError::new(StoreErrorKind::Corrupt, name, "the object is shorter than it should be"));
        }
        Ok(bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        let folder = format!("{}/", kind.folder().trim_end_matches('/'));
        let entries = self.wait_for_place(&folder, async { self.operator.list_with(&folder).recursive(true).await })?;
        let mut found = Listing::default();
        for entry in entries.iter().filter(|entry| entry.metadata().mode() == EntryMode::FILE) {
            if let Some(name) = ObjectName::parse(entry.path()).filter(|name| name.kind == kind) {
                found.push(&name, entry.metadata().content_length());
            }
        }
        Ok(found.finish())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        Ok(self.metadata(name)?.map(|metadata| metadata.content_length()))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        // The healed copy first: what is left of a delete that was cut short is the object that was listed.
        name.healed().into_iter().chain([*name]).try_for_each(|copy| self.wait(copy, self.operator.delete(&copy.path())))
    }

    fn adopt(&self, _: &ObjectName) {}

    fn put_at(&self, name: &ObjectName) -> Result<Option<i64>, StoreError> {
        Ok(self.metadata(name)?.and_then(|metadata| metadata.last_modified()).map(|time| time.into_inner().as_second()))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let found = self.wait_for_place(&self.location, async { self.operator.list_with("").limit(1).await })?;
        // Listings name the folder itself, where somebody made one.
        match found.iter().find(|entry| entry.path() != "/" && !entry.path().is_empty()) {
            Some(entry) if !ours(entry.path()) => {
                Err(StoreError::new(StoreErrorKind::Exists, self.location(), format!("the place is not empty (it holds {})", entry.path())))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an interrupted `init` can have left this.
fn ours(path: &str) -> bool {
    path.starts_with(ObjectKind::Config.folder())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_in_three_ways() {
        let of = |endpoint: Option<&str>, bucket: &str, prefix: &str| S3Location {
            endpoint: endpoint.map(Into::into),
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        assert_eq!(S3Location::parse("//bucket"), Some(of(None, "bucket", "")));
        assert_eq!(S3Location::parse("//bucket/a/b/"), Some(of(None, "bucket", "a/b")));
        assert_eq!(S3Location::parse("http://127.0.0.1:9000/bucket/a"), Some(of(Some("http://127.0.0.1:9000"), "bucket", "a")));
        assert_eq!(S3Location::parse("s3.example.org/bucket"), Some(of(Some("https://s3.example.org"), "bucket", "")));
        for wrong in ["", "//", "bucket", "ftp://host/bucket", "https:///bucket", "https://host/"] {
            assert_eq!(S3Location::parse(wrong), None, "{wrong}");
        }
    }
}
