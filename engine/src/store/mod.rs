//! Floor 1: where bytes live: services, packs, index, caches.
