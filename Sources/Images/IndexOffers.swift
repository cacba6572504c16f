import OCI
import Remote
import Synchronization

/// An index of a layer that somebody has put beside an image.
struct IndexOffer: Sendable, Hashable {
    enum Form: Sendable, Hashable {
        /// Bytes of it, unpacked.
        case larder(size: UInt64)
        case zTOC
    }

    let blob: Descriptor
    let form: Form
}

/// What an image's registry has beside the image.
struct IndexOffers: Sendable {
    /// By layer; the best first.
    var indexes: [Digest: [IndexOffer]] = [:]
    /// Comes while the indexes do. Awaited before the image is shown.
    var profile: Task<Void, Never>?

    mutating func add(_ offer: IndexOffer, for layer: Digest) {
        guard !(indexes[layer]?.contains(offer) ?? false) else { return }
        indexes[layer, default: []].append(offer)
    }
}

/// What was found beside images, one look for each. No look-up is made again in one process where something was found; where
/// nothing was, or nobody could be asked, after a while.
final class OfferTable: Sendable {
    struct Key: Sendable, Hashable {
        let repository: Repository
        let manifest: Digest

        init(_ image: Image) {
            repository = image.reference.repository
            manifest = image.manifestDescriptor.digest
        }
    }

    private static let absenceLifetime = Duration.seconds(60)
    private static let limit = 10_000

    let flights = SingleFlight<Key, IndexOffers>(abandoned: .finish)
    private let known = Mutex<[Key: (offers: IndexOffers, found: ContinuousClock.Instant)]>([:])

    subscript(key: Key) -> IndexOffers? {
        known.withLock { known in
            guard let entry = known[key] else { return nil }
            return entry.offers.indexes.isEmpty && ContinuousClock.now - entry.found > Self.absenceLifetime ? nil : entry.offers
        }
    }

    func set(_ offers: IndexOffers, _ key: Key) {
        known.withLock { known in
            if known.count >= Self.limit { known = [:] }
            known[key] = (offers, .now)
        }
    }

    /// Looks anew the next time.
    func forget(_ key: Key) { known.withLock { $0[key] = nil } }
}
