@testable import Archive

/// Writes tar archives by hand, right or wrong ones: an encoder that shares nothing with the reader under test.
struct TarBuilder {
    private(set) var bytes: [UInt8] = []

    /// One header block. Numbers are octal unless a field is given as raw bytes.
    mutating func header(
        _ name: String, type: Character = "0", size: Int = 0, mode: Int = 0o644, uid: Int = 0, gid: Int = 0, mtime: Int = 0,
        link: String = "", magic: String = "ustar\0" + "00", prefix: String = "", raw: [Int: [UInt8]] = [:], signed: Bool = false
    ) {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: [UInt8], _ offset: Int) { block.replaceSubrange(offset..<offset + text.count, with: text) }
        func octal(_ value: Int, _ width: Int) -> [UInt8] {
            let digits = String(value, radix: 8)
            return Array((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8) + [0]
        }
        put(Array(name.utf8), 0)
        put(octal(mode, 8), 100)
        put(octal(uid, 8), 108)
        put(octal(gid, 8), 116)
        put(octal(size, 12), 124)
        put(octal(mtime, 12), 136)
        put([type.asciiValue ?? 0], 156)
        put(Array(link.utf8), 157)
        put(Array(magic.utf8), 257)
        put(Array(prefix.utf8), 345)
        for (offset, field) in raw { put(field, offset) }
        put([UInt8](repeating: 0x20, count: 8), 148)
        let sum = block.reduce(0) { $0 + (signed ? Int(Int8(bitPattern: $1)) : Int($1)) }
        put(octal(sum, 7), 148)
        bytes += block
    }

    /// Data, padded to a whole block.
    mutating func data(_ content: [UInt8]) {
        bytes += content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    mutating func file(_ name: String, _ content: String) {
        header(name, size: content.utf8.count)
        data(Array(content.utf8))
    }

    /// An extended header with these records; `type` is `x` or `g`.
    mutating func pax(_ records: [(String, String)], type: Character = "x") {
        let body = records.flatMap { Self.record($0, Array($1.utf8)) }
        header("PaxHeaders/x", type: type, size: body.count)
        data(body)
    }

    /// GNU `L` or `K`.
    mutating func long(_ type: Character, _ text: String) {
        header("././@LongLink", type: type, size: text.utf8.count + 1, magic: "ustar  \0")
        data(Array(text.utf8) + [0])
    }

    mutating func end() { bytes += [UInt8](repeating: 0, count: 1024) }

    static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let body = Array((" " + key + "=").utf8) + value + [UInt8(ascii: "\n")]
        var length = body.count + 1
        while String(length).utf8.count + body.count != length { length += 1 }
        return Array(String(length).utf8) + body
    }
}
