import Synchronization

/// Whether those who list directories look at the files afterwards (`ls -l`, `du`), or only at their names (`find -name`).
///
/// A name with attributes costs about five times what a name alone costs, and attributes that are asked for one by one ten times
/// that again. So a listing gives names alone until files are looked up in a directory that was just listed so; from then on
/// it gives all. Now and then it gives names alone again, ever more seldom, to see whether anybody still looks.
///
/// It is a guess about speed, never about truth: racing threads may spoil a count, and nothing else.
final class ListingHabit: Sendable {
    /// The directory that was last listed by names alone.
    private let tried = Atomic<UInt64>(0)
    /// Files that were looked up in it since.
    private let looks = Atomic<Int>(0)
    private let givesAll = Atomic(false)
    private let learns: Bool
    private let untilTrial = Atomic<Int>(0)
    private let interval = Atomic<Int>(firstInterval)

    /// Without `learns` every listing gives all.
    init(learns: Bool = true) { self.learns = learns }

    /// A few files are looked up by whoever reads some of them.
    private static let enoughLooks = 3
    private static let firstInterval = 16
    private static let lastInterval = 256

    /// A listing of `directory` begins: whether to give the attributes of files with it.
    func begins(_ directory: NodeID) -> Bool {
        guard learns else { return true }
        guard givesAll.load(ordering: .relaxed) else { return tryNames(directory) }
        if tried.load(ordering: .relaxed) != 0 {
            // The trial before this listing is over.
            tried.store(0, ordering: .relaxed)
            if looks.load(ordering: .relaxed) < Self.enoughLooks {
                givesAll.store(false, ordering: .relaxed)
                return tryNames(directory)
            }
        }
        if untilTrial.subtract(1, ordering: .relaxed).newValue > 0 { return true }
        let next = min(interval.load(ordering: .relaxed) * 2, Self.lastInterval)
        interval.store(next, ordering: .relaxed)
        untilTrial.store(next, ordering: .relaxed)
        return tryNames(directory)
    }

    /// A file was looked up in `directory`.
    @inline(__always)
    func looked(in directory: NodeID) {
        guard tried.load(ordering: .relaxed) == directory.rawValue else { return }
        guard looks.add(1, ordering: .relaxed).newValue == Self.enoughLooks, !givesAll.load(ordering: .relaxed) else { return }
        interval.store(Self.firstInterval, ordering: .relaxed)
        untilTrial.store(Self.firstInterval, ordering: .relaxed)
        tried.store(0, ordering: .relaxed)
        givesAll.store(true, ordering: .relaxed)
    }

    private func tryNames(_ directory: NodeID) -> Bool {
        looks.store(0, ordering: .relaxed)
        tried.store(directory.rawValue, ordering: .relaxed)
        return false
    }
}
