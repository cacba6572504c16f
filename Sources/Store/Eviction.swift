import Glibc
import LinuxIO
import OCI

/// What has gone, or with a dry run would have.
public struct EvictionReport: Sendable {
    /// In the order of their going.
    public internal(set) var evicted: [EvictionCandidate] = []
    public internal(set) var freedBytes: UInt64 = 0
    /// What would have gone next, but somebody has it open.
    public internal(set) var openFiles = 0
    public internal(set) var openBytes: UInt64 = 0
    /// Bytes above the limits that nothing is left to go for; 0 where the limits are met.
    public internal(set) var missingBytes: UInt64 = 0
    /// What the store had before.
    public internal(set) var before = StoreTotals()
    /// As the store's references are named, for `EvictionCandidate.imageNames`.
    public internal(set) var images: [StoredImage] = []

    /// References of the images that something belongs to.
    public func imageNames(_ candidate: EvictionCandidate) -> [String] { candidate.images.compactMap { images[$0].reference?.description } }
}

/// Takes candidates away, one by one, until enough has gone.
struct Eviction {
    let store: Store
    let isDry: Bool
    private(set) var report = EvictionReport()
    private var folders: Set<Digest> = []

    init(_ store: Store, dryRun: Bool) {
        self.store = store
        isDry = dryRun
    }

    /// Goes through the plan while `excess`, less what has gone before, wants more; nil: through all of it.
    mutating func run(_ candidates: [EvictionCandidate], until excess: Excess?) throws(StoreError) {
        var excess = excess
        for gone in report.evicted { excess?.take(gone.allocatedBytes, of: gone.kind) }
        for candidate in candidates {
            if let excess {
                if excess.isNone { break }
                guard excess.wants(candidate.kind) else { continue }
            }
            guard try evict(candidate) else { continue }
            report.evicted.append(candidate)
            report.freedBytes += candidate.allocatedBytes
            excess?.take(candidate.allocatedBytes, of: candidate.kind)
        }
        if let excess { report.missingBytes = max(excess.total, excess.blobs, excess.content) }
        // Refused where a span was published meanwhile.
        for folder in folders { _ = try? store.root.removeDirectory("\(StoreLayout.spans)/\(folder.hex)") }
    }

    /// False where the file is in use, or has gone already.
    private mutating func evict(_ candidate: EvictionCandidate) throws(StoreError) -> Bool {
        if case .quarantine = candidate.place {
            if !isDry { try store.emptyQuarantine() }
            return true
        }
        do throws(SystemError) {
            switch candidate.place {
            case .quarantine: return true
            case .tree(let names):
                guard !isDry else { return true }
                var isGone = false
                for name in names where try store.root.remove(StoreKey.tree(name).path) { isGone = true }
                return isGone
            case .object(.span(let contentKey, let number)):
                guard !isDry else { return true }
                folders.insert(contentKey)
                return try store.root.remove(StoreKey.span(contentKey, number).path)
            case .object(let key):
                // What is open costs the same bytes with or without its name. The lock is kept until the name is gone: who
                // opens the file after that has one that is nobody else's.
                guard let file = try store.root.openIfPresent(key.path, O_RDONLY | O_NOFOLLOW) else { return false }
                // Used since the scan: somebody may be about to name it.
                guard try file.status().lastUseNanoseconds == candidate.lastUse || candidate.takesLayer else { return false }
                guard file.isUnused() == true else {
                    report.openFiles += 1
                    report.openBytes += candidate.allocatedBytes
                    return false
                }
                return isDry ? true : try store.root.remove(key.path)
            }
        } catch {
            throw StoreError(error, in: store.root)
        }
    }
}
