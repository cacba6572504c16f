import Synchronization

/// A set of numbers below a bound that only grows. Any thread may ask and insert without a lock.
final class TouchedNumbers: @unchecked Sendable {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int

    init(below bound: Int) {
        wordCount = (bound + 63) / 64
        words = .allocate(capacity: max(1, wordCount))
        for index in 0..<wordCount { (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        words.deinitialize(count: wordCount)
        words.deallocate()
    }

    /// Returns whether `number` is new. A number that is out of bounds never is.
    func insert(_ number: Int) -> Bool {
        guard number >= 0, number >> 6 < wordCount else { return false }
        let bit: UInt64 = 1 << UInt64(number & 63)
        if words[number >> 6].load(ordering: .relaxed) & bit != 0 { return false }
        return words[number >> 6].bitwiseOr(bit, ordering: .relaxed).oldValue & bit == 0
    }
}
