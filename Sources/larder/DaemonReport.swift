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

/// The session's counters, which exist only after the filesystem that shows them.
final class CounterBox: Sendable {
    private let counters = Mutex<FuseCounters?>(nil)

    func set(_ value: FuseCounters) { counters.withLock { $0 = value } }
    var snapshot: [(name: String, count: UInt64)] { counters.withLock { $0 }?.snapshot() ?? [] }
}

/// What `status.json` and `metrics` at the mount point say.
struct DaemonReport: Sendable {
    let settings: Settings
    let library: ImageLibrary
    let caches: CacheTrees
    let started: Int64
    let mountPoint: String
    let counters: CounterBox

    struct Document: Codable, Sendable {
        struct Image: Codable, Sendable {
            var reference: String
            var digest: Digest
            var size: UInt64
            var complete: Bool
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

        var version: String
        var pid: Int32
        var mountPoint: String
        var store: String
        var platform: String
        var uptimeSeconds: Int64
        var residentBytes: UInt64
        var storeFreeBytes: UInt64
        var images: [Image]
        var caches: [Cache]
        var network: Network
        var fuseRequests: [String: UInt64]
    }

    func document() async throws -> Document {
        let images = try await library.knownImages().map { image in
            let status = library.status(of: image)
            return Document.Image(reference: status.reference, digest: status.digest, size: status.size, complete: status.complete)
        }
        let held = try caches.library.leases()
        let caches = try caches.library.names().map { name in
            Document.Cache(name: name.text, path: "caches/" + name.encoded, leases: held.filter { $0.cache == name })
        }
        let network = library.networkCounters
        return Document(
            version: Version.current, pid: getpid(), mountPoint: mountPoint, store: settings.storePath, platform: settings.platform.description,
            uptimeSeconds: Int64(time(nil)) - started, residentBytes: Self.residentBytes, storeFreeBytes: library.store.freeSpace,
            images: images.sorted { $0.reference < $1.reference }, caches: caches,
            network: .init(requests: network.requests, bytesReceived: network.bytesReceived, retries: network.retries, failures: network.failures),
            fuseRequests: Dictionary(counters.snapshot.map { ($0.name, $0.count) }) { $1 }
        )
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

    func metrics() -> [Metric] {
        let network = library.networkCounters
        var metrics = [
            Metric("larder_start_time_seconds", "When the daemon was started, in seconds since the epoch.", .gauge, value: Double(started)),
            Metric("larder_resident_bytes", "Resident memory of the daemon.", .gauge, value: Double(Self.residentBytes)),
            Metric("larder_store_free_bytes", "Free space on the disk of the store.", .gauge, value: Double(library.store.freeSpace)),
            Metric("larder_registry_requests_total", "HTTP requests sent to registries.", value: Double(network.requests)),
            Metric("larder_registry_received_bytes_total", "Bytes received from registries.", value: Double(network.bytesReceived)),
            Metric("larder_registry_retries_total", "Requests that had to be repeated.", value: Double(network.retries)),
            Metric("larder_registry_failures_total", "Requests that failed for good.", value: Double(network.failures)),
        ]
        if let held = try? caches.library.leases() {
            metrics.append(Metric("larder_leases", "Leases on caches, whoever holds them.", .gauge, value: Double(held.count)))
        }
        metrics.append(Metric("larder_path_leases", "Caches held for changes that came by path.", .gauge, value: Double(caches.heldCount)))
        for (name, count) in counters.snapshot {
            metrics.append(Metric("larder_fuse_requests_total", "Requests from the kernel, by operation.", labels: [("operation", name)], value: Double(count)))
        }
        return metrics
    }

    private static var residentBytes: UInt64 {
        let fields = FileManager.default.contents(atPath: "/proc/self/statm").map { String(decoding: $0, as: UTF8.self).split(separator: " ") } ?? []
        return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * UInt64(getpagesize()) : 0
    }
}
