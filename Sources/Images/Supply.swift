import Archive
import LinuxIO
import Logging
import NIOCore
import NIOPosix
import OCI
import Remote
import Store
import TreeIndex

/// Where a layer's bytes come from: the store first, the blob in the store next, its registry last.
struct Supply: Sendable {
    /// The most that one span may take, in bytes. A span is 1 to 16 MiB of content, or one chunk of a foreign tool.
    static let spanLimit: UInt64 = 128 << 20

    let store: Store
    let remote: Remote
    /// Threads for decompression and disk writes.
    let workers: NIOThreadPool
    /// Threads for the same work where nobody waits for it. They give way to everything else on the host.
    let idlers: NIOThreadPool
    let logger: Logger
    let activity: FetchActivity
    let descriptors = DescriptorCache()
    let fresh = FreshSpans()
    let ledger = FetchLedger()
    let links = LinkTable()
    /// Bytes for what is on its way: compressed, and decompressed until it is on disk.
    let memory = UrgencyGate(Supply.memoryLimit, keptForDemand: Supply.memoryLimit / 4)

    private static let memoryLimit = 64 << 20

    init(
        store: Store, remote: Remote, workers: NIOThreadPool, idlers: NIOThreadPool, threads: Int, mayFetchRest: Bool = true, logger: Logger
    ) {
        self.store = store
        self.remote = remote
        self.workers = workers
        self.idlers = idlers
        self.logger = logger
        activity = FetchActivity(threads: threads, mayFetchRest: mayFetchRest)
    }

    /// Runs work that nobody waits for, on one of `idlers`.
    func idly<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await idlers.runIfActive {
            ThreadPriority.giveWay()
            return try work()
        }
    }

    /// A range of a layer's blob, not verified by itself: the caller knows the digests of its parts.
    func bytes(_ range: Range<UInt64>, of layer: ImageLayer) async throws -> [UInt8] {
        let count = Int(range.upperBound - range.lowerBound)
        if let blob = try store.openBlob(layer.descriptor.digest) {
            var bytes = [UInt8](repeating: 0, count: count)
            let read = try bytes.withUnsafeMutableBytes { try blob.read(into: $0, at: range.lowerBound) }
            return Array(bytes.prefix(read))
        }
        let source = try remote.source(for: layer.repository)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for try await part in try await source.blob(layer.descriptor, range: range) { bytes.append(contentsOf: part.readableBytesView) }
        return bytes
    }
}
