import CLinux
import Glibc
import LinuxIO

/// What `from` and `source` mean: a directory of the host or an image's tree, and a path inside, out of which no link leads.
struct SourceTable {
    struct Place {
        /// Absolute.
        var root: String
        /// Below it.
        var path: String
        var isFile: Bool
    }

    private let contexts: [String: String]
    private let currentDirectory: String
    /// By reference.
    var images: [String: MountedImage] = [:]

    init(_ request: RunRequest) {
        var contexts: [String: String] = [:]
        for text in request.contexts {
            guard let equals = text.firstIndex(of: "=") else { continue }
            contexts[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        self.contexts = contexts
        currentDirectory = request.currentDirectory
    }

    private enum Origin {
        case directory(String)
        case image(String)
    }

    private func origin(_ from: String) -> Origin {
        if from.isEmpty { return .directory(currentDirectory) }
        let text = contexts[from] ?? from
        if let reference = RunSession.imageReference(text) { return .image(reference) }
        if text.hasPrefix("/") { return .directory(text) }
        if contexts[from] != nil || text == "." || text.hasPrefix("./") || text.hasPrefix("../") { return .directory(currentDirectory + "/" + text) }
        return .image(text)
    }

    /// References of images that must be open before `place` can answer.
    func imagesNeeded(by mounts: RunMounts) throws -> [String] {
        let froms = mounts.others.filter { $0.spec.type == .bind }.map(\.spec.from) + mounts.caches.map(\.spec.from).filter { !$0.isEmpty }
        var references: [String] = []
        for from in froms {
            if case .image(let reference) = origin(from), !references.contains(reference) { references.append(reference) }
        }
        return references
    }

    /// - Throws: where nothing is there.
    func place(from: String, source: String) throws(RunError) -> Place {
        let root: String
        switch origin(from) {
        case .directory(let path): root = path
        case .image(let reference):
            guard let image = images[reference] else { throw .invalid("image \(reference) is not open") }
            root = image.path
        }
        let path = GoText.clean("/" + source)
        var status = stat()
        let directory = try RunError.catching("cannot use '\(from.isEmpty ? "the current directory" : from)'") { () throws(SystemError) in
            try OwnedDescriptor.open(root, larder_o_path | O_DIRECTORY)
        }
        let raw = larder_open_in_root(directory.raw, path == "/" ? "." : path, larder_o_path)
        guard raw >= 0 else {
            throw .invalid("\(GoText.quoted(path)): \(errno == ENOENT ? "not found" : SystemError("").reason) in \(from.isEmpty ? currentDirectory : from)")
        }
        let file = OwnedDescriptor(owning: raw)
        guard fstat(file.raw, &status) == 0 else { throw RunError(SystemError("stat", path: path)) }
        return Place(root: root, path: path, isFile: status.st_mode & S_IFMT != S_IFDIR)
    }

    func directory(_ place: Place) throws(RunError) -> Directory {
        try RunError.catching("cannot read \(place.path)") { () throws(SystemError) in
            let root = try OwnedDescriptor.open(place.root, larder_o_path | O_DIRECTORY)
            let raw = larder_open_in_root(root.raw, place.path == "/" ? "." : place.path, O_RDONLY | O_DIRECTORY)
            guard raw >= 0 else { throw SystemError("open", path: place.path) }
            return Directory(owning: OwnedDescriptor(owning: raw), path: place.root + place.path)
        }
    }

    /// For the plan.
    func source(_ place: Place) -> NamespacePlan.Source { .inside(Array(place.root.utf8), path: Array(place.path.dropFirst().utf8)) }
}
