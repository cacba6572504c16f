// swift-tools-version: 6.2
import PackageDescription

// A module imports only from those above it in this list. `Tests/ArchitectureTests` holds the tree to it.
// Warnings are errors where CI is set: a stranger with a newer compiler should still be able to build.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
] + (Context.environment["CI"] != nil ? [.treatAllWarnings(as: .error)] : [])

// The formats are loops over bytes, twenty times slower unoptimised; tests move gigabytes through them.
let optimised = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

let package = Package(
    name: "larder",
    products: [.executable(name: "larder", targets: ["larder"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // MARK: system libraries
        .systemLibrary(name: "CFuse", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CIsal", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CLinux", linkerSettings: [.linkedLibrary("uring")]),

        // MARK: bytes on disk
        .target(name: "LinuxIO", dependencies: ["CLinux"], swiftSettings: strict),
        .testTarget(name: "LinuxIOTests", dependencies: ["CLinux", "LinuxIO"], swiftSettings: strict),

        // MARK: formats, pure
        .target(name: "OCI", dependencies: ["CCrypto"], swiftSettings: optimised),
        .testTarget(name: "OCITests", dependencies: ["OCI"], swiftSettings: strict),
        .target(name: "Archive", dependencies: ["CIsal", "CZlib", "CZstd", "OCI"], swiftSettings: optimised),
        .testTarget(name: "ArchiveTests", dependencies: ["Archive"], exclude: ["Fixtures"], swiftSettings: strict),
        .target(name: "TreeIndex", dependencies: ["Archive", "LinuxIO", "OCI"], swiftSettings: optimised),
        .testTarget(name: "TreeIndexTests", dependencies: ["TreeIndex"], swiftSettings: strict),

        // MARK: where bytes are, and where they come from
        .target(name: "Store", dependencies: ["LinuxIO", "OCI", "TreeIndex", .product(name: "Logging", package: "swift-log")], swiftSettings: strict),
        .testTarget(name: "StoreTests", dependencies: ["Store", "TestSupport"], swiftSettings: strict),
        .target(
            name: "Remote",
            dependencies: [
                "LinuxIO", "OCI",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "RemoteTests",
            dependencies: [
                "Remote", "LinuxIO", "OCI", "TestSupport",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Images",
            dependencies: [
                "Archive", "LinuxIO", "OCI", "Remote", "Store", "TreeIndex",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ImagesTests",
            dependencies: [
                "Archive", "Images", "LinuxIO", "OCI", "Remote", "Store", "TestSupport", "TreeIndex",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),

        // MARK: caches
        .target(
            name: "Caches",
            dependencies: ["CLinux", "LinuxIO", "OCI", "Store", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "CacheContender",
            dependencies: ["Caches", "LinuxIO", "Store", .product(name: "Logging", package: "swift-log")],
            path: "Tests/CacheContender",
            swiftSettings: strict
        ),
        .testTarget(
            name: "CachesTests",
            dependencies: ["CacheContender", "Caches", "LinuxIO", "Store", "TestSupport", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),

        // MARK: the filesystem
        .target(
            name: "VirtualFS",
            dependencies: ["CLinux", "Caches", "Images", "LinuxIO", "OCI", "Store", "TreeIndex", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "VirtualFSTests",
            dependencies: [
                "CLinux", "Caches", "Images", "LinuxIO", "OCI", "Remote", "Store", "TestSupport", "TreeIndex", "VirtualFS",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "FuseBridge",
            dependencies: ["CFuse", "CLinux", "LinuxIO", "VirtualFS", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),

        .testTarget(
            name: "FuseBridgeTests",
            dependencies: ["CLinux", "FuseBridge", "LinuxIO", "VirtualFS", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),

        // MARK: running a command with mounts
        .target(
            name: "Run",
            dependencies: ["CLinux", "Caches", "LinuxIO", "OCI", "Store", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "RunTests",
            dependencies: ["CLinux", "Caches", "LinuxIO", "Run", "Store", "TestSupport", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),

        // MARK: the command
        .executableTarget(
            name: "larder",
            dependencies: [
                "Caches", "CLinux", "FuseBridge", "Images", "LinuxIO", "OCI", "Remote", "Run", "Store", "TreeIndex", "VirtualFS",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),

        // MARK: what tests share
        .target(
            name: "TestSupport",
            dependencies: [
                "LinuxIO", "OCI",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/TestSupport",
            swiftSettings: strict
        ),

        // MARK: the same operations on two directories, and any difference
        .target(name: "CPosixMachine", path: "Tests/PosixMachine/System"),
        .executableTarget(name: "posix-machine", dependencies: ["CPosixMachine"], path: "Tests/PosixMachine/Machine", swiftSettings: optimised),

        // MARK: all of it, on real mounts
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["LinuxIO", "OCI", "TestSupport"],
            swiftSettings: strict
        ),
    ]
)
