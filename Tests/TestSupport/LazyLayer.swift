import OCI

/// Writes eStargz layers after the format's document, with every freedom to lie: a gzip member for each header and each
/// chunk, the table of contents, the footer.
public struct LazyLayer {
    /// The table's JSON for one member or chunk, as key and JSON text.
    public typealias Record = [(key: String, value: String)]

    public var members: [TarMember]
    /// Bytes of content in one chunk.
    public var chunkSize: Int
    /// Changes the table's records before they are written.
    public var adjust: (inout [Record]) -> Void = { _ in }

    public init(_ members: [TarMember], chunkSize: Int = 256 << 10) {
        self.members = members
        self.chunkSize = chunkSize
    }

    public func layer() -> LayerFixture {
        var blob: [UInt8] = []
        var tar: [UInt8] = []
        var records: [Record] = []
        func append(_ bytes: [UInt8]) {
            blob += StoredGzip.member(bytes)
            tar += bytes
        }
        for member in members {
            append(member.header)
            var record: Record = [
                ("type", Self.text(member.typeName)), ("name", Self.text(member.name)), ("mode", "\(member.mode)"), ("modtime", Self.text("2020-09-13T12:26:40Z")),
            ]
            if !member.target.isEmpty { record.append(("linkName", Self.text(member.target))) }
            if !member.content.isEmpty {
                record += [("size", "\(member.content.count)"), ("digest", Self.text("\(Digest(of: member.content))"))]
            }
            var position = 0
            while position < member.content.count {
                let chunk = Array(member.content[position..<min(position + chunkSize, member.content.count)])
                if position > 0 { record = [("type", "\"chunk\""), ("name", Self.text(member.name)), ("chunkOffset", "\(position)")] }
                record += [("offset", "\(blob.count)"), ("chunkDigest", Self.text("\(Digest(of: chunk))"))]
                if member.content.count > chunkSize { record.append(("chunkSize", "\(chunk.count)")) }
                records.append(record)
                append(chunk)
                position += chunk.count
            }
            if member.content.isEmpty { records.append(record) }
            let padding = (512 - member.content.count % 512) % 512
            if padding > 0 { append([UInt8](repeating: 0, count: padding)) }
        }
        adjust(&records)
        let table = Self.json(records)
        let offset = blob.count
        append([TarMember.file("stargz.index.json", table)].tar)
        blob += Self.footer(offset)
        return LayerFixture(
            blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", diffID: Digest(of: tar),
            annotations: ["containerd.io/snapshot/stargz/toc.digest": "\(Digest(of: table))"])
    }

    private static func json(_ records: [Record]) -> [UInt8] {
        let entries = records.map { "{" + $0.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}" }
        return Array("{\"version\":1,\"entries\":[\(entries.joined(separator: ",\n"))]}".utf8)
    }

    /// A JSON string. Bytes that are no UTF-8 become U+FFFD, as in every real encoder.
    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        "\"" + String(decoding: Array(bytes), as: UTF8.self).replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    public static func text(_ text: String) -> String { Self.text(text.utf8) }

    private static func footer(_ offset: Int) -> [UInt8] {
        let digits = String(offset, radix: 16)
        let field = Array((String(repeating: "0", count: 16 - digits.utf8.count) + digits + "STARGZ").utf8)
        let extra = Array("SG".utf8) + [UInt8(field.count), 0] + field
        return [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, UInt8(extra.count), 0] + extra + [1, 0, 0, 0xff, 0xff] + [UInt8](repeating: 0, count: 8)
    }
}

extension TarMember {
    fileprivate var typeName: String {
        switch kind {
        case .file: "reg"
        case .hardLink: "hardlink"
        case .symlink: "symlink"
        case .directory: "dir"
        }
    }
}

/// gzip members (RFC 1952) that store their bytes as they are.
enum StoredGzip {
    private static let table: [UInt32] = (0..<256).map { start in
        (0..<8).reduce(UInt32(start)) { value, _ in value & 1 == 0 ? value >> 1 : 0xedb8_8320 ^ (value >> 1) }
    }

    static func member(_ bytes: [UInt8]) -> [UInt8] {
        var member: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]
        var position = 0
        repeat {
            let count = min(0xffff, bytes.count - position)
            let length = UInt16(count)
            member += [position + count == bytes.count ? 1 : 0, UInt8(length & 0xff), UInt8(length >> 8), UInt8(~length & 0xff), UInt8(~length >> 8)]
            member += bytes[position..<position + count]
            position += count
        } while position < bytes.count
        let crc = ~bytes.reduce(~UInt32(0)) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ ($0 >> 8) }
        for number in [crc, UInt32(truncatingIfNeeded: bytes.count)] { withUnsafeBytes(of: number.littleEndian) { member += $0 } }
        return member
    }
}
