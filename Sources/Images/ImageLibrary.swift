import LinuxIO
import Logging
import NIOCore
import NIOPosix
import OCI
import Remote
import Store
import Synchronization

/// Every image this host knows or can reach: reference -> manifest -> layers -> snapshot, each step from the store where
/// it is there and from its registry where not.
///
/// One library serves one store for one platform. All of it is safe to use from many tasks; the same work asked for
/// twice at once is done once, also between processes that share the store.
public final class ImageLibrary: Sendable {
    public struct Options: Sendable {
        public var platform = Platform.host
        /// For how long a tag is believed before its registry is asked again.
        public var tagLifetime = Duration.seconds(60)
        /// For how long an answer "no such image" is believed.
        public var absenceLifetime = Duration.seconds(5)
        /// The longest a known tag's registry may take to answer before what is known serves.
        public var revalidationLimit = Duration.seconds(3)
        public var indexTrust = IndexTrust.registry
        /// Layers of fewer compressed bytes are read whole without looking for an index: that takes no longer.
        public var smallestIndexedLayer: UInt64 = 256 << 10

        /// Whether layers that were read from are completed while nobody waits for content, and for how long nobody must have.
        public var backgroundFill = false
        public var fillDelay = Duration.seconds(10)
        /// Whether the rest of a layer is fetched once readers have waited for it as long as that takes.
        public var fetchesRest = true

        /// Whether images are fetched in the order in which they were read before, and what is read is recorded.
        public var profiles = ProfilePolicy.off

        public init() {}
    }

    public let options: Options
    let supply: Supply
    /// Told of everything that a pull does.
    let observer: (@Sendable (PullEvent) -> Void)?

    public var store: Store { supply.store }
    var remote: Remote { supply.remote }
    public var logger: Logger { supply.logger }
    /// Threads for short work that may block, which no Swift task may: a span, an index, a merge.
    var workers: NIOThreadPool { supply.workers }
    /// Threads for whole layers. Unpacking waits for its download, and must not keep a span from being decompressed.
    let unpackers: NIOThreadPool

    let resolved = Mutex<[Reference: Resolution]>([:])
    let resolving = SingleFlight<Reference, Image>(abandoned: .finish)
    /// Opened layers by the key of their index.
    let trees = Mutex<[Digest: KnownTree]>([:])
    let layerFlights = SingleFlight<ImageLayer, LayerTree>(abandoned: .finish)
    let snapshots = Mutex<[Digest: ContentTree]>([:])
    let snapshotFlights = SingleFlight<Digest, ContentTree>(abandoned: .finish)
    let blobFlights = SingleFlight<Digest, Void>(abandoned: .finish)
    let restoreFlights = SingleFlight<Digest, Void>(abandoned: .finish)
    let streams = StreamTable()
    let offerTable = OfferTable()
    let settlements = SingleFlight<Digest, Void>(abandoned: .finish)
    let catalog = Mutex(Catalog())
    /// Images whose trees people read, by the digest of the manifest.
    let uses = Mutex<[Digest: ImageUse]>([:])

    public init(
        store: Store, remote: Remote, options: Options, logger: Logger, threads: Int = 4, observer: (@Sendable (PullEvent) -> Void)? = nil
    ) {
        let workers = NIOThreadPool(numberOfThreads: threads)
        workers.start()
        unpackers = NIOThreadPool(numberOfThreads: threads)
        unpackers.start()
        let idlers = NIOThreadPool(numberOfThreads: min(threads, System.coreCount))
        idlers.start()
        supply = Supply(
            store: store, remote: remote, workers: workers, idlers: idlers, threads: min(threads, System.coreCount),
            mayFetchRest: options.fetchesRest, logger: logger)
        self.options = options
        self.observer = observer
        // An open file that was evicted still takes its space, and one that stays open is not marked as used.
        store.onUpkeep { [descriptors = supply.descriptors] event in
            switch event {
            case .tick: descriptors.forgetAll()
            case .evicted: descriptors.forgetRemoved()
            }
        }
        if options.backgroundFill {
            let fill = BackgroundFill(supply, quietTime: options.fillDelay) { [weak self] tree in try await self?.sealOrSettle(tree) }
            supply.activity.run { await fill.run() }
        }
    }

    /// What has been asked of registries so far.
    public var networkCounters: RemoteCounters.Values { remote.counters.values }

    /// What has been fetched so far, why, and for which layers.
    public var fetchCounters: FetchCounters { supply.ledger.counters(inMemory: supply.memory.used) }

    /// Waits until everything that was fetched is on disk. Readers need not: they are served from memory meanwhile.
    public func settle() async { await supply.fresh.settle() }

    /// Ends what is under way, the worker threads and the connections. Streams end first: an unpacker waits for its
    /// download, and the pool's shutdown for the unpacker.
    public func shutdown() async {
        await endUses()
        streams.cancelAll()
        await supply.activity.close()
        await remote.shutdown()
        await supply.fresh.settle()
        try? await unpackers.shutdownGracefully()
        try? await supply.idlers.shutdownGracefully()
        try? await workers.shutdownGracefully()
    }

    /// Runs work that waits for the disk on a thread that may.
    func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await workers.runIfActive(body)
    }
}
