import FoundationEssentials
import Testing

/// A module imports only from those above it in `house`. The list is the one in ARCHITECTURE.md.
@Suite struct ImportDirectionTests {
    static let house = [
        "CFuse", "CCrypto", "CIsal", "CZlib", "CZstd", "CLinux", "LinuxIO", "OCI", "Archive", "TreeIndex", "Store", "Remote", "Images",
        "Caches", "VirtualFS", "FuseBridge", "Run", "larder",
    ]

    /// Some modules have one importer by design.
    static let soleImporters = ["CFuse": ["FuseBridge"], "CCrypto": ["OCI"], "CIsal": ["Archive"], "CZlib": ["Archive"], "CZstd": ["Archive"]]

    /// Modules that must not drag Foundation in: they are below or on the hot path.
    static let withoutFoundation = ["LinuxIO", "Archive", "TreeIndex", "VirtualFS", "FuseBridge"]

    @Test(arguments: house) func everyModuleImportsOnlyFromAbove(module: String) throws {
        let rank = try #require(Self.house.firstIndex(of: module))
        for (file, imported) in try imports(of: module) {
            guard let other = Self.house.firstIndex(of: imported) else { continue }
            #expect(other < rank, "\(file) imports \(imported), which stands below \(module)")
            if let allowed = Self.soleImporters[imported] { #expect(allowed.contains(module), "\(file) imports \(imported)") }
        }
    }

    @Test(arguments: withoutFoundation) func theLowerHouseKnowsNoFoundation(module: String) throws {
        for (file, imported) in try imports(of: module) { #expect(!imported.hasPrefix("Foundation"), "\(file) imports \(imported)") }
    }

    @Test func onlyFoundationEssentialsIsUsedAnywhere() throws {
        for module in Self.house {
            for (file, imported) in try imports(of: module) {
                #expect(!["Foundation", "FoundationNetworking", "FoundationInternationalization"].contains(imported), "\(file) imports \(imported)")
            }
        }
    }

    @Test func everyFolderOfSourcesIsInTheHouse() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.root + "/Sources")
        #expect(Set(folders) == Set(Self.house))
    }

    private static let root = String(#filePath.prefix(upTo: #filePath.range(of: "/Tests/")!.lowerBound))

    /// (file, imported module) for every import of every Swift file in a module.
    private func imports(of module: String) throws -> [(String, String)] {
        var found: [(String, String)] = []
        let folder = Self.root + "/Sources/" + module
        for file in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? [] where file.hasSuffix(".swift") {
            let text = String(decoding: try #require(FileManager.default.contents(atPath: folder + "/" + file)), as: UTF8.self)
            for line in text.split(separator: "\n") {
                var words = line.split(separator: " ")[...]
                while let word = words.first, word.hasPrefix("@") || ["public", "internal", "package", "private", "fileprivate"].contains(word) { words = words.dropFirst() }
                guard words.first == "import", let name = words.dropFirst().first else { continue }
                found.append(("Sources/\(module)/\(file)", String(name.prefix { $0 != "." })))
            }
        }
        return found
    }
}
