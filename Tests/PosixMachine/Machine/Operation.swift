/// One step of a sequence: plain values, so that a sequence can be cut down and run again without what made it.
struct Operation {
    var kind: Kind
    /// Which of the two processes does it.
    var worker: Int
    /// As uid 1000 instead of root.
    var ordinary = false
    /// Places in the worker's tables of open files, directory streams or mappings.
    var handle = 0
    var other = 0
    /// What relative paths start from: `Base.current`, `Base.top`, or the open file at that place.
    var base = Base.current
    var otherBase = Base.current
    var path: [UInt8] = []
    var otherPath: [UInt8] = []
    var a: Int64 = 0
    var b: Int64 = 0
    var c: Int64 = 0

    enum Base {
        static let current = -1
        static let top = -2
    }

    init(_ kind: Kind, worker: Int) {
        self.kind = kind
        self.worker = worker
    }

    /// One line; `init(line:)` reads it. What a failure prints can so be replayed.
    var line: String {
        "\(kind.rawValue) \(worker) \(ordinary ? 1 : 0) \(handle) \(other) \(base) \(otherBase) \(a) \(b) \(c) \(Text.name(path)) \(Text.name(otherPath))"
    }

    init?(line: [UInt8]) {
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 12, let kind = Kind(rawValue: String(decoding: words[0], as: UTF8.self)) else { return nil }
        let numbers = words[1..<10].compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
        guard numbers.count == 9, let path = Text.bytes(words[10]), let otherPath = Text.bytes(words[11]) else { return nil }
        self.kind = kind
        worker = Int(numbers[0])
        ordinary = numbers[1] == 1
        handle = Int(numbers[2])
        other = Int(numbers[3])
        base = Int(numbers[4])
        otherBase = Int(numbers[5])
        a = numbers[6]
        b = numbers[7]
        c = numbers[8]
        self.path = path
        self.otherPath = otherPath
    }
}

/// Bytes in words that hold no space, brace or line end.
enum Text {
    private static let digits = Array("0123456789abcdef".utf8)

    /// Printable ASCII as it is, all else as %XX; nothing at all as a single %.
    static func name(_ bytes: some Collection<UInt8>) -> String {
        if bytes.isEmpty { return "%" }
        var out: [UInt8] = []
        for byte in bytes {
            if byte > 0x20, byte < 0x7f, byte != UInt8(ascii: "%"), byte != UInt8(ascii: "{"), byte != UInt8(ascii: "}") {
                out.append(byte)
            } else {
                out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    static func bytes(_ word: some Collection<UInt8>) -> [UInt8]? {
        let word = Array(word)
        if word == [UInt8(ascii: "%")] { return [] }
        var out: [UInt8] = []
        var index = 0
        while index < word.count {
            if word[index] != UInt8(ascii: "%") {
                out.append(word[index])
                index += 1
                continue
            }
            guard index + 2 < word.count, let value = UInt8(String(decoding: word[index + 1...index + 2], as: UTF8.self), radix: 16) else { return nil }
            out.append(value)
            index += 3
        }
        return out
    }

    static func hex(_ value: UInt64) -> String { String(value, radix: 16) }
    static func octal(_ value: some BinaryInteger) -> String { String(value, radix: 8) }

    /// FNV-1a, which two equal contents share.
    static func hash(_ bytes: UnsafeRawBufferPointer, _ start: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
        var hash = start
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}
