import Archive

@testable import TreeIndex

/// Small random layers over few names, so that members meet and clash often.
struct RandomLayer {
    static let names = ["a", "b", "c", "d"]
    private static let prefixes = ["", "", "./", "/"]

    static func path(_ random: inout SeededRandom) -> [String] {
        (0..<Int.random(in: 1...3, using: &random)).map { _ in names.randomElement(using: &random) ?? "a" }
    }

    /// `serial` numbers the members of all layers: it is their mtime, which tells them apart afterwards.
    static func entries(count: Int, serial: inout Int64, _ random: inout SeededRandom) -> [ArchiveEntry] {
        (0..<count).map { _ in
            serial += 1
            return entry(serial, &random)
        }
    }

    private static func entry(_ serial: Int64, _ random: inout SeededRandom) -> ArchiveEntry {
        let components = path(&random)
        let prefix = prefixes.randomElement(using: &random) ?? ""
        let whole = prefix + components.joined(separator: "/")
        let parent = components.dropLast().map { $0 + "/" }.joined()
        var entry: ArchiveEntry
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: entry = .file(whole, size: UInt64.random(in: 0...9, using: &random), mtime: serial)
        case 30..<55: entry = .directory(whole, mode: 0o700, mtime: serial)
        case 55..<58: entry = .directory("./", mode: 0o711, mtime: serial)
        case 58..<65: entry = .symlink(whole, to: "target-\(serial)", mtime: serial)
        case 65..<85: return .link(whole, to: path(&random).joined(separator: "/"))
        case 85..<95: return .file(prefix + parent + ".wh." + (components.last ?? "a"))
        default: return .file(prefix + parent + ".wh..wh..opq")
        }
        entry.uid = UInt32.random(in: 0...2, using: &random)
        if random.chance(30) {
            entry.attributes = [ExtendedAttribute(name: [UInt8]("user.serial"), value: [UInt8]("\(serial / 3)"))]
        }
        return entry
    }
}
