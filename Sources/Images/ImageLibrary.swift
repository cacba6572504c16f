import LinuxIO
import Logging
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
        supply = Supply(store: store, remote: remote, workers: workers, logger: logger)
        self.options = options
        self.observer = observer
    }

    /// What has been asked of registries so far.
    public var networkCounters: RemoteCounters.Values { remote.counters.values }

    /// Ends what is under way, the worker threads and the connections. Streams end first: an unpacker waits for its
    /// download, and the pool's shutdown for the unpacker.
    public func shutdown() async {
        await endUses()
        streams.cancelAll()
        await remote.shutdown()
        try? await unpackers.shutdownGracefully()
        try? await workers.shutdownGracefully()
    }

    /// Runs work that waits for the disk on a thread that may.
    func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await workers.runIfActive(body)
    }
}
