import Caches
import FoundationEssentials
import FuseBridge
import Glibc
import Images
import OCI
import Remote
import Store
import Synchronization
import VirtualFS

/// The session, which exists only after the filesystem that shows how it is doing.
final class SessionBox: Sendable {
    private struct Reference {
        weak var session: FuseSession?
    }

    private let reference = Mutex(Reference())

    func set(_ value: FuseSession) { reference.withLock { $0.session = value } }
    var value: FuseSession? { reference.withLock { $0.session } }
    var counters: [(name: String, count: UInt64)] { value?.counters.snapshot() ?? [] }
}

/// What `status.json` and `metrics` at the mount point say.
struct DaemonReport: Sendable {
    let settings: Settings
    let library: ImageLibrary
    let caches: CacheTrees
    let started: Int64
    let mountPoint: String
    let session: SessionBox
    let reads: ReadCounters

    struct Document: Codable, Sendable {
        struct Image: Codable, Sendable {
            var reference: String
            var digest: Digest
            var size: UInt64
            /// The following is known only of images that this daemon has to do with.
            var complete: Bool?
            var profile: ImageStatus.Profile?
            /// Lowest first.
            var layers: [ImageStatus.Layer]?
        }

        struct Cache: Codable, Sendable {
            var name: String
            var path: String
            /// Leases on it, whoever holds them.
            var leases: [LeaseRecord]
        }

        struct Network: Codable, Sendable {
            var requests: UInt64
            var bytesReceived: UInt64
            var retries: UInt64
            var failures: UInt64
        }

        struct Fetching: Codable, Sendable {
            struct Amount: Codable, Sendable {
                var requests: UInt64
                /// Compressed.
                var bytes: UInt64
            }

            /// By cause: demand, stream, ahead, profile, rest, pull, fill.
            var causes: [String: Amount]
            /// Compressed bytes per second over the last seconds, of all layers.
            var bytesPerSecond: Double
            /// Readers that wait for content now.
            var waitingReaders: Int
            /// Fetched and not on disk yet.
            var bytesInMemory: Int
            /// Reads of image files that the daemon answered at once, and those that had to wait.
            var readHits: UInt64
            var readMisses: UInt64
        }

        struct Kept: Codable, Sendable {
            /// Bytes of disk by kind: blob, content, index, garbage; absent in a store that was never limited.
            var bytes: [String: UInt64]?
            /// The most that the store may take; absent without a limit.
            var maxBytes: UInt64?
            /// What shall stay free on its disk; absent without a limit.
            var minFreeBytes: UInt64?
            /// What this daemon has evicted.
            var evictedFiles: UInt64
            var evictedBytes: UInt64
        }

        var version: String
        var pid: Int32
        var mountPoint: String
        var store: String
        var platform: String
        var uptimeSeconds: Int64
        var residentBytes: UInt64
        var storeFreeBytes: UInt64
        var kept: Kept
        var images: [Image]
        var caches: [Cache]
        var network: Network
        var fetching: Fetching
        /// Complete files are read, and files of caches read and written, by the kernel itself.
        var passthrough: Bool?
        /// Requests come through io_uring.
        var ioUring: Bool?
        var fuseRequests: [String: UInt64]
    }

    func document() async throws -> Document {
        let images = try await library.knownImages().map { image in
            let status = library.statusInUse(of: image)
            return Document.Image(
                reference: image.reference.description, digest: image.manifestDescriptor.digest, size: image.size, complete: status?.complete, profile: status?.profile,
                layers: status?.layers)
        }
        let held = try caches.library.leases()
        let caches = try caches.library.names().map { name in
            Document.Cache(name: name.text, path: "caches/" + name.encoded, leases: held.filter { $0.cache == name })
        }
        let network = library.networkCounters
        return Document(
            version: Version.current, pid: getpid(), mountPoint: mountPoint, store: settings.storePath, platform: settings.platform.description,
            uptimeSeconds: Int64(time(nil)) - started, residentBytes: Self.residentBytes, storeFreeBytes: library.store.freeSpace, kept: kept,
            images: images.sorted { $0.reference < $1.reference }, caches: caches,
            network: .init(requests: network.requests, bytesReceived: network.bytesReceived, retries: network.retries, failures: network.failures),
            fetching: fetching, passthrough: session.value?.hasPassthrough, ioUring: session.value?.usesIOUring, fuseRequests: Dictionary(session.counters.map { ($0.name, $0.count) }) { $1 }
        )
    }

    private var fetching: Document.Fetching {
        let fetches = library.fetchCounters
        return Document.Fetching(
            causes: Dictionary(uniqueKeysWithValues: fetches.amounts.map { ($0.key.name, .init(requests: $0.value.requests, bytes: $0.value.bytes)) }),
            bytesPerSecond: fetches.layers.values.reduce(0) { $0 + $1.bytesPerSecond }, waitingReaders: fetches.waitingReaders,
            bytesInMemory: fetches.bytesInMemory, readHits: reads.hits, readMisses: reads.misses
        )
    }

    private var kept: Document.Kept {
        let totals = library.store.accountedTotals
        let evictions = library.store.evictions
        return Document.Kept(
            bytes: totals.map { totals in Dictionary(uniqueKeysWithValues: StoredKind.allCases.map { ($0.rawValue, totals[$0]) }) }, maxBytes: limit(\.maxSize),
            minFreeBytes: limit(\.minFree), evictedFiles: evictions.files, evictedBytes: evictions.bytes
        )
    }

    /// A limit of the store in bytes.
    func limit(_ which: KeyPath<StoreLimits, StoreLimits.Amount?>) -> UInt64? {
        let disk = library.store.disk
        return library.store.limits[keyPath: which]?.bytes(ofDisk: UInt64(disk.f_blocks) &* UInt64(disk.f_frsize))
    }

    func json() async -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(try await document()), as: UTF8.self) + "\n"
        } catch {
            let reason = (try? encoder.encode(["error": "\(error)"])) ?? Data()
            return String(decoding: reason, as: UTF8.self) + "\n"
        }
    }

    static var residentBytes: UInt64 {
        let fields = FileManager.default.contents(atPath: "/proc/self/statm").map { String(decoding: $0, as: UTF8.self).split(separator: " ") } ?? []
        return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * UInt64(getpagesize()) : 0
    }
}
