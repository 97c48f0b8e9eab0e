//! Floor 3: where data come from and go to: the file system, streams.
