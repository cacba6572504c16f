import Glibc

/// Turns what differs rightly between two directories into what must be equal: inode numbers into the order in which their
/// objects were first seen, times that the kernel took into the epoch between two ticks, process ids into workers.
struct Normaliser {
    /// Object of the plain side (number, and what tells its lives apart) to its place in order of appearance.
    private var objects: [Pair: Int] = [:]
    /// By that place: the candidate's inode number.
    private var candidates: [UInt64?] = []
    /// Where the candidate has a page cache of its own, files of the plain side that somebody stored into through memory: how many
    /// blocks that takes in a hole depends on how many pages the cache keeps together (large folios).
    private var storedInMemory: Set<Pair>?
    /// Boundaries of the epochs, nanoseconds since 1970.
    private var ticks: [Int64] = []

    private struct Pair: Hashable {
        let inode: UInt64
        let identity: UInt64
    }

    /// - Parameter hasOwnCache: the candidate's pages are not those of the disk that it keeps its files on.
    init(hasOwnCache: Bool) {
        storedInMemory = hasOwnCache ? [] : nil
    }

    /// For other ways to the same files.
    init(after other: Normaliser) {
        storedInMemory = other.storedInMemory
    }

    /// Lets the clock move on, so that the kernel's stamps of all later changes are greater than this, and none before is. The
    /// kernel takes a change's time from a coarse clock, or from the exact one where somebody has looked since the last change.
    mutating func tick() {
        let start = Self.clock(CLOCK_REALTIME)
        while Self.clock(CLOCK_REALTIME_COARSE) <= start { usleep(500) }
        ticks.append(start)
    }

    private static func clock(_ id: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(id, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Both answers to one operation, candidate's and plain one's, in comparable form.
    mutating func pair(_ candidate: [UInt8], _ plain: [UInt8], on a: Side, _ b: Side) -> (String, String) {
        var numbers: [Int] = []
        // The number of blocks, and how far another one may be from it.
        var blocks: [(count: UInt64, tolerance: UInt64)] = []
        var isStoredInMemory = false
        let plainText = render(plain) { kind, words in
            switch kind {
            case UInt8(ascii: "i"):
                let object = Pair(inode: words[0], identity: words[1])
                if objects[object] == nil {
                    objects[object] = candidates.count
                    candidates.append(nil)
                }
                numbers.append(objects[object]!)
                isStoredInMemory = storedInMemory?.contains(object) ?? false
                return "i\(objects[object]!)"
            case UInt8(ascii: "s"):
                storedInMemory?.insert(Pair(inode: words[0], identity: words[1]))
                return "stored"
            case UInt8(ascii: "t"): return epoch(words)
            case UInt8(ascii: "b"):
                // How many blocks describe where a sparse file lies depends on where the disk had room.
                blocks.append((words[0], isStoredInMemory ? .max : 16))
                return "\(words[0])"
            default: return Self.process(words[0], b)
            }
        }
        var index = 0, blockIndex = 0
        var seen: [UInt64: Int] = [:]
        let candidateText = render(candidate) { kind, words in
            switch kind {
            case UInt8(ascii: "i"):
                defer { index += 1 }
                guard index < numbers.count else { return "i?\(words[0])" }
                let number = numbers[index]
                if let other = seen.updateValue(number, forKey: words[0]), other != number { return "i\(number)-and-\(other)-are-both-\(words[0])" }
                guard let known = candidates[number] else {
                    candidates[number] = words[0]
                    return "i\(number)"
                }
                return known == words[0] ? "i\(number)" : "i\(number)-was-\(known)-is-\(words[0])"
            case UInt8(ascii: "s"): return "stored"
            case UInt8(ascii: "t"): return epoch(words)
            case UInt8(ascii: "b"):
                defer { blockIndex += 1 }
                guard blockIndex < blocks.count else { return "\(words[0])" }
                let (count, tolerance) = blocks[blockIndex]
                return "\(max(words[0], count) - min(words[0], count) <= tolerance ? count : words[0])"
            default: return Self.process(words[0], a)
            }
        }
        return (candidateText, plainText)
    }

    /// Times that a program set lie before 2002 and are exact.
    private func epoch(_ words: [UInt64]) -> String {
        guard words[0] > 1_000_000_000 else { return "\(words[0]).\(words[1])" }
        let time = Int64(bitPattern: words[0] &* 1_000_000_000 &+ words[1])
        var low = 0, high = ticks.count
        while low < high {
            let middle = (low + high) / 2
            if ticks[middle] < time { low = middle + 1 } else { high = middle }
        }
        return "@\(low)"
    }

    private static func process(_ pid: UInt64, _ side: Side) -> String {
        if pid == UInt64(bitPattern: -1) { return "description" }
        return side.worker(ofProcess: Int(truncatingIfNeeded: pid)).map { "worker\($0)" } ?? "process\(pid)"
    }

    private func render(_ answer: [UInt8], _ mark: (UInt8, [UInt64]) -> String) -> String {
        var out: [UInt8] = []
        var index = 0
        while index < answer.count {
            guard answer[index] == UInt8(ascii: "{"), let end = answer[index...].firstIndex(of: UInt8(ascii: "}")), end > index + 3 else {
                out.append(answer[index])
                index += 1
                continue
            }
            let words = answer[(index + 3)..<end].split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }.map { word in
                UInt64(bitPattern: Int64(String(decoding: word, as: UTF8.self)) ?? Int64(bitPattern: UInt64(String(decoding: word, as: UTF8.self)) ?? 0))
            }
            out += Array(mark(answer[index + 1], words).utf8)
            index = end + 1
        }
        return String(decoding: out, as: UTF8.self)
    }
}
