import FoundationEssentials
import Glibc
import LinuxIO
import OCI

extension Store {
    /// Opens, and with `create` makes, the directory itself: for its owner alone, since images can hold secrets.
    static func openRoot(_ path: String, create: Bool) throws(StoreError) -> Directory {
        do throws(SystemError) {
            if create { try makePath(path) }
            return try Directory(path)
        } catch {
            throw error.isAbsence ? .missing(store: path) : .system(error)
        }
    }

    private static func makePath(_ path: String) throws(SystemError) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { throw SystemError("mkdir", path: path) }
        try makePath(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SystemError("mkdir", path: path) }
    }

    /// Holds that `root` is a store of a known version, or makes it one.
    static func checkLayout(_ root: Directory, create: Bool) throws(StoreError) -> Bool {
        if let marker = try inStore(root, { () throws(SystemError) in try readMarker(root) }) {
            guard let version = LayoutMarker(marker)?.imageLayoutVersion else {
                throw .damaged(path: "\(root.path)/\(StoreLayout.marker)", reason: "it names no imageLayoutVersion")
            }
            guard version.hasPrefix("1.0.") else { throw .unsupportedLayout(path: root.path, version: version) }
            guard create || root.exists(StoreLayout.temporary) else {
                throw .notAStore(path: root.path, reason: "it is an image layout that another tool made")
            }
            if create { try layOut(root) }
            return false
        } else {
            // What a crash between making the directory and its marker leaves is a store; so is the root of a fresh disk.
            let foreign = try inStore(root) { () throws(SystemError) in try root.list() }.first { $0 != StoreLayout.temporary && $0 != "lost+found" }
            if let foreign { throw .notAStore(path: root.path, reason: "it holds '\(foreign)' but no '\(StoreLayout.marker)'") }
            guard create else { throw .missing(store: root.path) }
            try layOut(root)
            return true
        }
    }

    private static func readMarker(_ root: Directory) throws(SystemError) -> [UInt8]? {
        guard let file = try root.openIfPresent(StoreLayout.marker, O_RDONLY | O_NOFOLLOW) else { return nil }
        return try file.readAll(limit: StoreLayout.markerLimit) ?? []
    }

    /// Makes whatever is missing. A store that this user may only read stays as it is.
    private static func layOut(_ root: Directory) throws(StoreError) {
        do throws(SystemError) {
            try root.makeDirectories(StoreLayout.temporary, mode: 0o700)
            if !root.exists(StoreLayout.marker) { try publishText(StoreLayout.markerText, as: StoreLayout.marker, in: root) }
            for directory in StoreLayout.directories { try root.makeDirectories(directory) }
        } catch {
            if error.isRefusal && root.exists(StoreLayout.marker) { return }
            throw StoreError(error, in: root)
        }
    }

    /// Makes an empty `index.json` where there is none. A file that is there, in whatever state, is left alone.
    static func restoreIndex(_ root: Directory) throws(StoreError) -> Bool {
        if root.exists(StoreLayout.index) { return false }
        return try inStore(root) { () throws(SystemError) in try publishText(StoreLayout.emptyIndexText, as: StoreLayout.index, in: root) }
    }

    @discardableResult
    private static func publishText(_ text: String, as name: String, in root: Directory) throws(SystemError) -> Bool {
        let temporary = "\(StoreLayout.temporary)/new-\(getpid())-\(UInt64.random(in: .min ... .max))"
        do throws(SystemError) {
            let file = try root.open(temporary, O_WRONLY | O_CREAT | O_EXCL)
            try file.write(Array(text.utf8))
            return try root.publish(temporary, as: name)
        } catch {
            _ = try? root.remove(temporary)
            throw error
        }
    }
}

/// The file `oci-layout`.
private struct LayoutMarker: Decodable {
    let imageLayoutVersion: String

    init?(_ bytes: [UInt8]) {
        guard let marker = try? JSONText.decode(LayoutMarker.self, from: bytes) else { return nil }
        self = marker
    }
}
