/// Reads JSON (RFC 8259) from memory front to back, without a tree and without `String`.
///
/// A table of contents has hundreds of thousands of values; a general decoder takes seconds and many times the memory.
/// Depth is bounded. Like Go's decoder, a lone surrogate escape becomes U+FFFD. Valid while the memory is.
struct JSONReader {
    static let maximumDepth = 64

    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private var depth = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Calls `body` with every key of an object; it must read or skip exactly the value. `null` is an object without keys.
    mutating func object(_ body: (inout JSONReader, _ key: [UInt8]) throws(ArchiveError) -> Void) throws(ArchiveError) {
        if try null() { return }
        try open(UInt8(ascii: "{"))
        if try close(UInt8(ascii: "}")) { return }
        while true {
            let key = try string()
            try expect(UInt8(ascii: ":"))
            try body(&self, key)
            if try close(UInt8(ascii: "}")) { return }
            try expect(UInt8(ascii: ","))
        }
    }

    /// Calls `body` at every element of an array; it must read or skip exactly that. `null` is an empty array.
    mutating func array(_ body: (inout JSONReader) throws(ArchiveError) -> Void) throws(ArchiveError) {
        if try null() { return }
        try open(UInt8(ascii: "["))
        if try close(UInt8(ascii: "]")) { return }
        while true {
            try body(&self)
            if try close(UInt8(ascii: "]")) { return }
            try expect(UInt8(ascii: ","))
        }
    }

    /// A string as UTF-8; bytes that are no UTF-8 are left as they are. `null` is empty.
    mutating func string() throws(ArchiveError) -> [UInt8] {
        if try null() { return [] }
        try expect(UInt8(ascii: "\""))
        var text: [UInt8] = []
        while true {
            let start = position
            while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"), bytes[position] >= 0x20 {
                position += 1
            }
            text.append(contentsOf: bytes[start..<position])
            switch try take() {
            case UInt8(ascii: "\""): return text
            case UInt8(ascii: "\\"): try escape(into: &text)
            default: throw malformed("a control character in a string")
            }
        }
    }

    /// A whole number. `null` is nil.
    mutating func integer() throws(ArchiveError) -> Int64? {
        if try null() { return nil }
        let start = position
        while position < bytes.count, Self.isNumberPart(bytes[position]) { position += 1 }
        guard let value = TarNumber.decimal(bytes[start..<position]) else { throw malformed("not a whole number of 64 bits") }
        return value
    }

    /// Passes over one value of any kind.
    mutating func skip() throws(ArchiveError) {
        switch try peek() {
        case UInt8(ascii: "{"): try object { (json, _) throws(ArchiveError) in try json.skip() }
        case UInt8(ascii: "["): try array { (json) throws(ArchiveError) in try json.skip() }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default:
            let start = position
            while position < bytes.count, Self.isNumberPart(bytes[position]) { position += 1 }
            guard position > start else { throw malformed("something that is no value") }
        }
    }

    /// Makes sure that nothing but white space is left.
    mutating func end() throws(ArchiveError) {
        passSpace()
        guard position == bytes.count else { throw malformed("something after the end") }
    }

    // MARK: pieces

    private mutating func open(_ bracket: UInt8) throws(ArchiveError) {
        try expect(bracket)
        depth += 1
        guard depth <= Self.maximumDepth else { throw malformed("nested more than \(Self.maximumDepth) deep") }
    }

    private mutating func close(_ bracket: UInt8) throws(ArchiveError) -> Bool {
        guard try peek() == bracket else { return false }
        position += 1
        depth -= 1
        return true
    }

    private mutating func null() throws(ArchiveError) -> Bool {
        guard try peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    private mutating func literal(_ word: StaticString) throws(ArchiveError) {
        for byte in UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount) {
            guard try take() == byte else { throw malformed("an unknown word") }
        }
    }

    private mutating func expect(_ byte: UInt8) throws(ArchiveError) {
        guard try peek() == byte else { throw malformed("'\(Unicode.Scalar(byte))' expected") }
        position += 1
    }

    /// The next byte after white space, not taken.
    private mutating func peek() throws(ArchiveError) -> UInt8 {
        passSpace()
        guard position < bytes.count else { throw ArchiveError(.truncated, "the JSON ends in the middle") }
        return bytes[position]
    }

    private mutating func take() throws(ArchiveError) -> UInt8 {
        guard position < bytes.count else { throw ArchiveError(.truncated, "the JSON ends in the middle") }
        position += 1
        return bytes[position - 1]
    }

    private mutating func passSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(ArchiveError) {
        switch try take() {
        case UInt8(ascii: "\""): text.append(UInt8(ascii: "\""))
        case UInt8(ascii: "\\"): text.append(UInt8(ascii: "\\"))
        case UInt8(ascii: "/"): text.append(UInt8(ascii: "/"))
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try codePoint()).utf8)
        default: throw malformed("an unknown escape")
        }
    }

    /// What follows `\u`, with the second half of a surrogate pair where there is one.
    private mutating func codePoint() throws(ArchiveError) -> Character {
        let unit = try fourDigits()
        if (0xD800..<0xDC00).contains(unit), position + 1 < bytes.count,
           bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u") {
            let back = position
            position += 2
            let low = try fourDigits()
            if (0xDC00..<0xE000).contains(low), let scalar = Unicode.Scalar(0x10000 + (unit & 0x3FF) << 10 + (low & 0x3FF)) {
                return Character(scalar)
            }
            position = back
        }
        return Character(Unicode.Scalar(unit) ?? "\u{FFFD}")
    }

    private mutating func fourDigits() throws(ArchiveError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Hex.value(of: try take()) else { throw malformed("an unknown escape") }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private static func isNumberPart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): true
        default: false
        }
    }

    private func malformed(_ what: String) -> ArchiveError { ArchiveError(.malformed, "the JSON has \(what) near byte \(position)") }
}
